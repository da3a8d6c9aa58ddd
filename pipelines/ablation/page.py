"""The page of an ablation: the table, successes by task, what every arm stands for."""

from pipelines.ablation.report import AblationReport
from pipelines.html.page import Section, cards, page
from pipelines.html.templates import macros
from pipelines.output.folder import OutputFolder

TEMPLATE = "ablation/page.html"
FILES = ("index.html", "report.json")


def write_page(out: OutputFolder, report: AblationReport) -> None:
    """Write the page and the report itself."""
    html = macros(TEMPLATE)
    sections = [
        Section("results", "Arms", html.results(report.head(), report.rows(), report.notes())),
        Section("tasks", "By task", html.tasks(["arm", *report.tasks], report.task_rows())),
        Section("arms", "What the arms are", html.arms([[a.arm, a.about] for a in report.arms])),
    ]
    best = max(report.arms, key=lambda a: a.rate)
    figures = [
        (f"{best.rate:.0%}", f"most successes: {best.arm}", f"{best.low:.0%} to {best.high:.0%}"),
        (len(report.arms), "arms", f"compared with {report.reference}"),
        (report.seeds, "trainings of each", f"{report.arms[0].episodes} starts under each seed"),
    ]
    lead = f"{report.corpus}: recipes side by side in {report.simulator}"
    foot = "Every number is in report.json beside this page."
    out.write("index.html", page("Ablation", lead, cards(figures), sections, foot))
    out.write("report.json", report.model_dump_json(indent=1))
