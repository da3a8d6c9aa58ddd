"""The demo's page: reads `summary.json` and the files that it names, and writes `report/index.html`.

Every section is a function from the summary to HTML; a stage that has not run leaves it empty, and the page says so.
"""

from collections.abc import Sequence
from pathlib import Path

from dataengine.whole_file import write_whole
from pipelines.demo import report_data as data
from pipelines.demo import report_models as models
from pipelines.demo.summary import DemoSummary, Evaluated
from pipelines.demo.tasks import GATE_TASKS
from pipelines.evaluation.results import wilson
from pipelines.html import charts
from pipelines.html.page import Section, cards, meter, page, remarked
from pipelines.html.templates import macros

TEMPLATE = "demo/report.html"


def render(run_dir: Path) -> Path:
    """Write the page of a run, whole or not yet whole, and return its place."""
    summary = DemoSummary.load(run_dir)
    sections = [
        Section("success", "Does the policy solve its tasks?", _success(summary, run_dir)),
        Section("recordings", "What was recorded", data.recordings(summary)),
        Section("corpus", "The corpus", data.corpus(summary)),
        Section("curation", "Curation and statistics", data.curation(summary)),
        Section("lam", "The latent action model", models.lam(summary, run_dir)),
        Section("probe", "What a latent action knows", models.probe(summary)),
        Section("labels", "Labels and shards", data.labels(summary)),
        Section("act", "The policy", models.act(summary, run_dir)),
        Section("plans", "Latent plans, drawn", models.plans(summary, run_dir)),
        Section("reproduce", "Time, versions, and how to do it again", _reproduce(summary)),
    ]
    top = _cards(summary) + macros(TEMPLATE).status(summary)
    text = page(summary.title, _lead(summary), top, sections, "Written by villa demo from summary.json.")
    path = run_dir / "report" / "index.html"
    write_whole(path, text)
    return path


def _lead(summary: DemoSummary) -> str:
    """Say what this is, and that it is simulated."""
    return (
        "One run of the whole path, from raw files in their publishers' layouts to a policy that moves a robot. "
        + ("Robots and scenes are simulated (MuJoCo)" if any(r.simulated for r in summary.recorded) else "")
        + ("; some clips show real hands." if not all(r.simulated for r in summary.recorded) else ".")
        if summary.recorded
        else "One run of the whole path, from raw files to a policy that moves a robot."
    )


def _cards(summary: DemoSummary) -> str:
    """Pick the numbers that a visitor asks for first."""
    figures: list[tuple[object, str, str]] = []
    gate = _gate(summary)
    if gate:
        solved, played = sum(e.successes for e in gate), sum(e.episodes for e in gate)
        low, high = wilson(solved, played)
        tasks = f"{len(gate)} tasks, unseen starts; 95 % interval {100 * low:.0f} to {_percent(high)}"
        figures.append((f"{solved}/{played}", "episodes solved", tasks))
    if summary.ingest:
        steps = sum(i.steps for i in summary.ingest)
        figures.append((f"{sum(i.episodes for i in summary.ingest):,}", "episodes in the corpus", f"{steps:,} steps"))
        kinds = {i.embodiment for i in summary.ingest if i.embodiment}
        if kinds:
            rates = sorted({i.control_hz for i in summary.ingest})
            figures.append((len(kinds), "embodiments", ", ".join(f"{rate:g}" for rate in rates) + " Hz"))
        rejected = sum(i.rejected_records for i in summary.ingest)
        what = "record rejected" if rejected == 1 else "records rejected"
        figures.append((rejected, what, "its reason stands below" if rejected else "all were sound"))
    if summary.timings:
        figures.append((_duration(sum(t.seconds for t in summary.timings)), "for all stages", summary.machine))
    return cards(figures) if figures else ""


def _gate(summary: DemoSummary) -> list[Evaluated]:
    """Pick the rows of the main policy, which is the first one listed, that count towards the target."""
    first = summary.evaluation[0].policy if summary.evaluation else ""
    return [e for e in summary.evaluation if e.task in GATE_TASKS and e.policy == first]


def _success(summary: DemoSummary, run_dir: Path) -> str:
    """Success by task and policy with intervals, then films."""
    rows = summary.evaluation
    if not rows:
        return ""
    names = list(dict.fromkeys(e.policy for e in rows))
    drawings = []
    for gate, title in ((True, "Tasks that the policy should solve"), (False, "Harder tasks")):
        groups: dict[str, dict[str, charts.Value]] = {}
        for e in rows:
            if (e.task in GATE_TASKS) == gate:
                rate = charts.Value(e.successes / max(e.episodes, 1), e.low, e.high)
                groups.setdefault(e.task, {})[e.policy] = rate
        if groups:
            drawings.append(charts.interval_chart(title, groups, names=names))
    rates = _rates(rows, names)
    return macros(TEMPLATE).success(run_dir, drawings, names, rates, _uncertainty(rows), summary.rollouts)


def _uncertainty(rows: Sequence[Evaluated]) -> str:
    """Say how far a rate may be off after so few episodes."""
    widest = max(rows, key=lambda row: row.high - row.low)
    played = "one episode" if widest.episodes == 1 else f"{widest.episodes} episodes"
    points = f"{100 * (widest.high - widest.low):.0f}"
    return f"With {played} of each task a 95 % interval is up to {points} points wide: smaller differences are noise."


def _rates(rows: Sequence[Evaluated], names: Sequence[str]) -> list[list[str]]:
    """Tasks down, policies across."""
    table = []
    for task in dict.fromkeys(e.task for e in rows):
        by_policy = {e.policy: e for e in rows if e.task == task}
        table.append([task, *(_rate(by_policy[name]) if name in by_policy else "" for name in names)])
    return table


def _rate(row: Evaluated) -> str:
    """Print successes and interval."""
    return remarked(f"{row.successes}/{row.episodes}", f"{100 * row.low:.0f} to {_percent(row.high)}", row.note)


def _reproduce(summary: DemoSummary) -> str:
    """Seconds by stage, versions, the command."""
    longest = max((t.seconds for t in summary.timings), default=0.0)
    timings = [[t.stage, round(t.seconds, 1), meter(t.seconds / max(longest, 1e-9))] for t in summary.timings]
    return macros(TEMPLATE).reproduce(timings, summary.command, summary.versions)


def _percent(share: float) -> str:
    """Print a share."""
    return f"{100 * share:.0f} %"


def _duration(seconds: float) -> str:
    """Print minutes and seconds."""
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"
