"""The page of `villa eval failures`: one file of HTML, pictures in it."""

from pipelines.evaluation.failures.report import FailuresReport, MinedRollout
from pipelines.html.page import Section, cards, note, page
from pipelines.html.templates import macros
from pipelines.output.folder import OutputFolder

TEMPLATE = "evaluation/failures/page.html"


def write_page(out: OutputFolder, report: FailuresReport) -> None:
    """Write the page into a folder that has the pictures."""
    sections = [
        Section("table", "All failures", macros(TEMPLATE).failures([_row(one) for one in report.failures])),
        Section("pictures", "Side by side", macros(TEMPLATE).pictures(out.root, report.failures)),
        Section("method", "How they are compared", macros(TEMPLATE).method(report)),
    ]
    lead = f"{report.policy}, rollouts of {report.rollouts}, beside {report.corpus}"
    top = cards(_figures(report))
    if report.left_out:
        top += note("Left out", [f"{count} {reason}" for reason, count in report.left_out.items()], limits=True)
    foot = "villa eval failures; all numbers are in failures.json beside this page"
    out.write("index.html", page("Failures, and the training episodes nearest to them", lead, top, sections, foot))


def _row(one: MinedRollout) -> list[object]:
    near = one.nearest[0]
    farther = "" if one.farther_than is None else f"{one.farther_than:.0%}"
    said = [near.instruction, "yes" if one.same_instruction else "no"]
    return [one.name, one.steps, near.distance, farther, near.dataset, near.episode_id, *said]


def _figures(report: FailuresReport) -> list[tuple[object, str, str]]:
    """Pick the few numbers that matter."""
    count = report.num_failures + report.num_successes
    figures: list[tuple[object, str, str]] = [
        (f"{report.num_failures} of {count}", "rollouts failed", f"compared with {report.compared_with} episodes")
    ]
    training = "" if report.usual_training is None else f"among training episodes {report.usual_training:.2f}"
    for name, usual in (("failures", report.usual_failure), ("successes", report.usual_success)):
        if usual:
            figures.append((f"{usual.distance:.2f}", f"distance of {name} to training", training))
            figures.append((f"{usual.same_instruction:.0%}", f"{name} nearest to their own instruction", ""))
    return figures
