"""The demo's page: reads `summary.json` and the files that it names, and writes `report/index.html`.

Every section is a function from the summary to blocks; a stage that has not run leaves an empty list, and the page
says so.
"""

from collections.abc import Sequence
from pathlib import Path

from dataengine.whole_file import write_whole
from pipelines.demo import report_data as data
from pipelines.demo import report_models as models
from pipelines.demo.layout import GATE_TASKS
from pipelines.demo.summary import DemoSummary, Evaluated
from pipelines.evaluation.evaluate import wilson
from pipelines.html import charts, page


def render(run_dir: Path) -> Path:
    """Write the page of a run, whole or not yet whole, and return its place."""
    summary = DemoSummary.load(run_dir)
    sections = [
        page.Section("success", "Does the policy solve its tasks?", _success(summary, run_dir)),
        page.Section("recordings", "What was recorded", data.recordings(summary)),
        page.Section("corpus", "The corpus", data.corpus(summary)),
        page.Section("curation", "Curation and statistics", data.curation(summary)),
        page.Section("lam", "The latent action model", models.lam(summary, run_dir)),
        page.Section("probe", "What a latent action knows", models.probe(summary)),
        page.Section("labels", "Labels and shards", data.labels(summary)),
        page.Section("act", "The policy", models.act(summary, run_dir)),
        page.Section("plans", "Latent plans, drawn", models.plans(summary, run_dir)),
        page.Section("reproduce", "Time, versions, and how to do it again", _reproduce(summary)),
    ]
    top = [_cards(summary), *_status(summary)]
    words = page.page(summary.title, _lead(summary), top, sections, "Written by villa demo from summary.json.")
    place = run_dir / "report" / "index.html"
    write_whole(place, words)
    return place


def _lead(summary: DemoSummary) -> str:
    """Say what this is, and that it is simulated."""
    return (
        "One run of the whole path, from raw files in their publishers' layouts to a policy that moves a robot. "
        + ("Robots and scenes are simulated (MuJoCo)" if any(r.simulated for r in summary.recorded) else "")
        + ("; some clips show real hands." if not all(r.simulated for r in summary.recorded) else ".")
        if summary.recorded
        else "One run of the whole path, from raw files to a policy that moves a robot."
    )


def _status(summary: DemoSummary) -> list[str]:
    """Warn where the run is not the full one."""
    notes: list[str] = []
    if summary.quick:
        notes.append(
            page.note(
                "This is a quick run: every model is trained for a few steps, and every task is played once. It shows "
                "that the commands work together. It says nothing of how good the models are, so expect no task to be "
                "solved."
            )
        )
    if summary.until:
        notes.append(
            page.note(f"The run was asked to stop after '{summary.until}'; the same command without --until goes on.")
        )
    return notes


def _cards(summary: DemoSummary) -> str:
    """Pick the numbers that a visitor asks for first."""
    cards: list[tuple[object, str, str]] = []
    gate = _gate(summary)
    if gate:
        solved, played = sum(e.successes for e in gate), sum(e.episodes for e in gate)
        low, high = wilson(solved, played)
        tasks = f"{len(gate)} tasks, unseen starts; 95 % interval {100 * low:.0f} to {_percent(high)}"
        cards.append((f"{solved}/{played}", "episodes solved", tasks))
    if summary.ingest:
        steps = sum(i.steps for i in summary.ingest)
        cards.append((f"{sum(i.episodes for i in summary.ingest):,}", "episodes in the corpus", f"{steps:,} steps"))
        kinds = {i.embodiment for i in summary.ingest if i.embodiment}
        if kinds:
            rates = sorted({i.control_hz for i in summary.ingest})
            cards.append((len(kinds), "embodiments", ", ".join(f"{rate:g}" for rate in rates) + " Hz"))
        rejected = sum(i.rejected_records for i in summary.ingest)
        what = "record rejected" if rejected == 1 else "records rejected"
        cards.append((rejected, what, "its reason stands below" if rejected else "all were sound"))
    if summary.timings:
        cards.append((_duration(sum(t.seconds for t in summary.timings)), "for all stages", summary.machine))
    return page.cards(cards) if cards else ""


def _gate(summary: DemoSummary) -> list[Evaluated]:
    """Pick the rows of the main policy, which is the first one listed, that count towards the target."""
    first = summary.evaluation[0].policy if summary.evaluation else ""
    return [e for e in summary.evaluation if e.task in GATE_TASKS and e.policy == first]


def _success(summary: DemoSummary, run_dir: Path) -> list[str]:
    """Success by task and policy with intervals, then films."""
    rows = summary.evaluation
    if not rows:
        return []
    names = list(dict.fromkeys(e.policy for e in rows))
    blocks: list[str] = [
        page.paragraph(
            "Every episode starts from a state that training never saw. Dots are success rates, lines their 95 % "
            "Wilson intervals. Compare the policy with three simple players: one repeats the mean of the "
            "demonstrations, one acts at random, and one is the policy itself, given the instruction of another task. "
            "A policy that listens to its instruction fails there."
        )
    ]
    for gate, title in ((True, "Tasks that the policy should solve"), (False, "Harder tasks")):
        chosen = [e for e in rows if (e.task in GATE_TASKS) == gate]
        if not chosen:
            continue
        groups = {
            task: {
                e.policy: charts.Value(e.successes / max(e.episodes, 1), e.low, e.high)
                for e in chosen
                if e.task == task
            }
            for task in dict.fromkeys(e.task for e in chosen)
        }
        blocks.append(charts.interval_chart(title, groups, names=names))
    blocks.append(_success_table(rows, names))
    blocks.append(
        page.note(
            "What these numbers do not say.",
            [
                _uncertainty(rows),
                "One training seed. Another seed, another machine, another thread count give other numbers.",
                "Simulated robots in front of one camera: nothing here says how the policy does on a real one.",
            ],
            limits=True,
        )
    )
    if summary.rollouts:
        films = [
            page.picture(
                run_dir / film.image,
                f"{film.task}, {film.policy}: {'solved' if film.success else 'not solved'}. {film.caption}",
            )
            for film in summary.rollouts
        ]
        blocks += [page.heading("Episodes of the policy, frame by frame"), page.gallery(films, at_least_px=480)]
    return blocks


def _uncertainty(rows: Sequence[Evaluated]) -> str:
    """Say how far a rate may be off after so few episodes."""
    widest = max(rows, key=lambda row: row.high - row.low)
    played = "one episode" if widest.episodes == 1 else f"{widest.episodes} episodes"
    points = f"{100 * (widest.high - widest.low):.0f}"
    return f"With {played} of each task a 95 % interval is up to {points} points wide: smaller differences are noise."


def _success_table(rows: Sequence[Evaluated], names: Sequence[str]) -> str:
    """Tasks down, policies across."""
    body = []
    for task in dict.fromkeys(e.task for e in rows):
        found = {e.policy: e for e in rows if e.task == task}
        body.append([task, *(_rate(found[name]) if name in found else "" for name in names)])
    return page.table(["task, and 95 % interval in %", *names], body)


def _rate(row: Evaluated) -> page.Html:
    """Print successes and interval."""
    note = f"<br><small>{page.text(row.note)}</small>" if row.note else ""
    interval = f"{100 * row.low:.0f} to {_percent(row.high)}"
    return page.Html(f"{row.successes}/{row.episodes} <small>{interval}</small>{note}")


def _reproduce(summary: DemoSummary) -> list[str]:
    """Seconds by stage, versions, the command."""
    blocks: list[str] = []
    if summary.timings:
        longest = max(t.seconds for t in summary.timings)
        rows = [[t.stage, round(t.seconds, 1), page.meter(t.seconds / max(longest, 1e-9))] for t in summary.timings]
        blocks.append(page.table(["stage", "s", ""], rows))
    blocks.append(page.code(summary.command))
    if summary.versions:
        blocks.append(page.table(["", "version"], [[name, version] for name, version in summary.versions.items()]))
    return blocks


def _percent(share: float) -> str:
    """Print a share."""
    return f"{100 * share:.0f} %"


def _duration(seconds: float) -> str:
    """Print minutes and seconds."""
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"
