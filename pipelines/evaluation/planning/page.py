"""The page of `villa eval planning`: plans beside what happened, as figures and as pictures."""

from pipelines.evaluation.planning.report import GROUP_HEAD, WORDING_HEAD, PlanningReport
from pipelines.html.page import Section, cards, page
from pipelines.html.templates import macros
from pipelines.output.folder import OutputFolder

TEMPLATE = "evaluation/planning/page.html"


def write_page(out: OutputFolder, report: PlanningReport) -> None:
    """Write the page into a folder that has the pictures."""
    html, drawn = macros(TEMPLATE), [one for one in report.groups if one.examples]
    wordings = html.wordings(WORDING_HEAD, rows) if (rows := report.wording_rows()) else ""
    sections = [
        Section("groups", "Plans and what happened", html.groups(GROUP_HEAD, report.group_rows())),
        *([Section("words", "Other words, the same pictures", wordings)] if wordings else []),
        *([Section("pictures", "What plans lead to", html.pictures(out.root, drawn))] if drawn else []),
        Section("method", "How to read it", html.method(report)),
    ]
    starts, unreadable = (sum(getattr(one, key) for one in report.groups) for key in ("starts", "unreadable"))
    figures = [
        (f"{starts:,}", "starts", f"{unreadable:,} left out for a broken picture" if unreadable else ""),
        (len(report.groups), "embodiments in datasets", ""),
        (report.num_latents, "latent actions in a plan", f"{report.interval_s:g} s each"),
    ]
    lead = f"{report.policy} on {report.corpus}, latent actions of {report.lam}"
    foot = "villa eval planning; all numbers are in planning.json beside this page"
    out.write("index.html", page("Plans of latent actions", lead, cards(figures), sections, foot))
