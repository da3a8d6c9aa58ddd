"""The page of `villa transfer`: what was measured, and each clip beside what the robot made of it."""

from pipelines.evaluation.transfer.report import AGREEMENT_HEAD, CLIP_HEAD, TransferReport
from pipelines.html.page import Section, cards, note, page
from pipelines.html.templates import macros
from pipelines.output.folder import OutputFolder

TEMPLATE = "evaluation/transfer/page.html"


def write_page(out: OutputFolder, report: TransferReport) -> None:
    """Write the page into a folder that has the plots and the videos."""
    html = macros(TEMPLATE)
    agreement = html.agreement(AGREEMENT_HEAD, report.agreement_rows(), report.notes)
    sections = [
        Section("directions", "Does the hand go the same way?", agreement),
        Section("table", "All clips", html.clips(CLIP_HEAD, report.clip_rows())),
        Section("videos", "Side by side", html.pictures(out.root, report.clips)),
        Section("method", "How it is done", html.method(report)),
    ]
    lead = f"{report.to} in {report.simulator}, as in {report.acts_as}, by {report.lam}"
    top = cards(_figures(report))
    if report.rejected:
        top += note("Left out", report.left_out(), limits=True)
    foot = "villa transfer; all numbers are in transfer.json, trajectories in the .npz files beside this page"
    out.write("index.html", page("A robot repeats videos", lead, top, sections, foot))


def _figures(report: TransferReport) -> list[tuple[object, str, str]]:
    """Pick the few numbers that matter."""
    latents = sum(clip.latents for clip in report.clips)
    figures: list[tuple[object, str, str]] = [
        (len(report.clips), "clips", f"{latents} latent actions of {report.interval_s:g} s")
    ]
    for one in report.agreement:
        if one.mode != "predicted":
            within = f"difference {one.low:+.2f} to {one.high:+.2f}"
            figures.append((f"{one.direction:+.2f}", f"cosine, {one.mode}", f"shuffled {one.shuffled:+.2f}, {within}"))
    chance = f"chance {report.codes['chance']:.0%}"
    figures += [
        (f"{share:.0%}", f"codes as asked for, {mode}", chance)
        for mode, share in report.codes.items()
        if mode != "chance"
    ]
    return figures
