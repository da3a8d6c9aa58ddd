"""The whole path in miniature, on real physics and real files: record, ingest, curate, train, label, evaluate, report.

Every stage after the recording is one or two `villa` commands, run as a user would run them; what they report goes
into `<out>/summary.json`, so that the same call goes on where the last one stopped, however it was stopped.
"""

import sys
import time
from pathlib import Path
from typing import Literal

from dataengine.config import Config
from dataengine.errors import DataEngineError
from pipelines.demo import data, training
from pipelines.demo.layout import DEMO, QUICK, DemoRun
from pipelines.demo.summary import FILE_NAME, DemoSummary, StageTime
from pipelines.output.folder import Before, claimed, sources_at


def _is_demo(out: Path) -> bool:
    """Know a demo by its summary."""
    try:
        return (out / FILE_NAME).is_file() and bool(DemoSummary.load(out).timings)
    except (OSError, ValueError):
        return False


OLD_DEMO = Before(r"summary\.json|report/|logs/", _is_demo, beside=True)

STAGES = {
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
"""In this order; each fills its part of the summary. The page is drawn after every one of them."""


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
    if config.until is not None and config.until not in STAGES:
        raise DataEngineError(f"no stage '{config.until}'; --until takes {', '.join(STAGES)}")
    with claimed(config.out, "demo", before=OLD_DEMO, sources=sources_at(config.out / "corpus")) as out:
        out.claim(FILE_NAME, "report/", "logs/")
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
    demo = DemoRun(out=config.out, scale=QUICK if config.quick else DEMO, engine=config.engine)
    done = {timing.stage for timing in summary.timings}
    for number, (name, stage) in enumerate(STAGES.items(), start=1):
        if name in done:
            _say(f"[{number}/{len(STAGES)}] {name}: done before")
        else:
            _say(f"[{number}/{len(STAGES)}] {name}")
            started = time.monotonic()
            stage(demo, summary)
            summary.timings.append(StageTime(stage=name, seconds=round(time.monotonic() - started, 1)))
            summary.save(config.out)
        if name == config.until:
            break
    _finish(demo, summary)
    return summary


def _finish(demo: DemoRun, summary: DemoSummary) -> None:
    """Add versions and machine, and draw the page from what there is."""
    from pipelines.demo import report

    summary.versions, summary.machine = data.versions(), data.machine()
    summary.report = "report/index.html"
    summary.save(demo.out)
    report.render(demo.out)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
