"""The whole path in miniature, on real physics and real files: record, ingest, curate, train, label, evaluate, report.

It is the pipeline `demo` (`pipeline_demo.yaml`), whose every stage after the recording is a `villa` command, and a page
of what the stages report. The same call goes on where the last one stopped, however it was stopped.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from dataengine.config import Config
from dataengine.errors import DataEngineError
from pipelines.demo import data, training
from pipelines.demo.summary import FILE_NAME, DemoSummary, StageTime
from pipelines.output.folder import Before, claimed, sources_at
from pipelines.workflow import run as workflow
from pipelines.workflow.file import Pipeline
from pipelines.workflow.runner import Selection
from pipelines.workflow.state import PipelineState, StageRecord


def _is_demo(out: Path) -> bool:
    """Know a demo by its summary."""
    try:
        return (out / FILE_NAME).is_file() and bool(DemoSummary.load(out).timings)
    except (OSError, ValueError):
        return False


OLD_DEMO = Before(r"summary\.json|report/|logs/", _is_demo, beside=True)

CHAPTERS: Mapping[str, Callable[[data.Reports, DemoSummary], None]] = {
    "record": data.record,
    "ingest": data.ingest,
    "curate": data.curate,
    "stats": data.stats,
    "lam": training.lam,
    "probe": training.probe,
    "label": training.label,
    "shard": training.shard,
    "act": training.act,
    "plan": training.plan,
    "evaluate": training.evaluate,
}
"""Parts of the summary in their order, each filled in from what its stages report."""
PREFIXES = {"ingest": "ingest_", "lam": "lam_", "act": "act_", "evaluate": "eval_"}
"""Of the stages of a chapter that has several."""


class DemoConfig(Config):
    """Where the demo goes and how much of it is run."""

    out: Path
    """Folder of the run; everything is written below it."""
    quick: bool = False
    """All of it, tiny, in a few minutes: it proves that the path holds; its policy can do nothing."""
    until: str | None = None
    """Stop after this stage: record, ingest, curate, stats, lam, probe, label, shard, act, plan or evaluate."""
    engine: Literal["local", "ray"] = "ray"
    """Which engine ingests."""


def run(config: DemoConfig) -> DemoSummary:
    """Run every stage that is not done yet and draw the page.

    Raises DataEngineError for an unknown stage, and for a folder that holds a run of the other size.
    """
    if config.until is not None and config.until not in CHAPTERS:
        raise DataEngineError(f"no stage '{config.until}'; --until takes {', '.join(CHAPTERS)}")
    with claimed(config.out, "demo", before=OLD_DEMO, sources=sources_at(config.out / "corpus")) as out:
        out.claim(FILE_NAME, "report/", *workflow.FILES)
        return _run(config)


def _run(config: DemoConfig) -> DemoSummary:
    """Run what is left to do."""
    summary = DemoSummary.load(config.out)
    if summary.timings and summary.quick != config.quick:
        size = "--quick" if summary.quick else "full"
        raise DataEngineError(f"{config.out} holds a {size} run; give another --out, or remove that folder")
    summary.title, summary.out = "villa demo", str(config.out)
    summary.quick, summary.until = config.quick, config.until or ""
    summary.command = f"villa demo --out {config.out}{' --quick' if config.quick else ''}"
    pipeline = Pipeline("demo-quick" if config.quick else "demo", config.out, {"engine": config.engine})
    workflow.perform(
        pipeline,
        _selection(pipeline, config.until),
        command=summary.command,
        watch=lambda state: _tell(pipeline, state, summary),
    )
    _finish(config.out, summary)
    return summary


def _selection(pipeline: Pipeline, until: str | None) -> Selection:
    """Take the stages of a chapter and of all before it."""
    chapters = list(CHAPTERS)[: list(CHAPTERS).index(until) + 1] if until else list(CHAPTERS)
    return Selection(frozenset(stage for chapter in chapters for stage in _stages(pipeline, chapter)))


def _stages(pipeline: Pipeline, chapter: str) -> list[str]:
    prefix = PREFIXES.get(chapter)
    return [chapter] if prefix is None else [stage for stage in pipeline.order if stage.startswith(prefix)]


def _tell(pipeline: Pipeline, state: PipelineState, summary: DemoSummary) -> None:
    """Fill in the chapters whose stages have all ended since it was looked at last, and write the summary."""
    seconds = {timing.stage: timing.seconds for timing in summary.timings}
    times: dict[str, float] = {}
    for chapter, fill in CHAPTERS.items():
        records = [state.stages.get(stage) for stage in _stages(pipeline, chapter)]
        done = [record for record in records if record is not None and record.state == "done"]
        if len(done) < len(records):
            continue
        times[chapter] = _seconds(done)
        if seconds.get(chapter) != times[chapter]:
            fill({name: record.report for name, record in state.stages.items()}, summary)
    summary.timings = [StageTime(stage=chapter, seconds=each) for chapter, each in times.items()]
    if summary.timings:
        summary.save(Path(summary.out))


def _seconds(records: list[StageRecord]) -> float:
    """Give the time during which at least one of several stages was at work."""
    total, until = 0.0, 0.0
    for start, end in sorted(span for record in records for span in record.spans):
        total, until = total + max(0.0, end - max(start, until)), max(until, end)
    return round(total, 1)


def _finish(out: Path, summary: DemoSummary) -> None:
    """Add versions and machine, and draw the page from what there is."""
    from pipelines.demo import report

    summary.versions, summary.machine = data.versions(), data.machine()
    summary.report = "report/index.html"
    summary.save(out)
    report.render(out)
