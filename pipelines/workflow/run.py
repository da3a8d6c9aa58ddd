"""`villa pipeline`: runs what is not done, in order of dependence, and tells what a change would do again."""

import shlex
import time
from collections.abc import Callable
from pathlib import Path

from dataengine.errors import DataEngineError
from pipelines.output.folder import claimed
from pipelines.workflow.config import PipelineConfig
from pipelines.workflow.file import Pipeline
from pipelines.workflow.freshness import Unsettled, look
from pipelines.workflow.page import write_page
from pipelines.workflow.report import PipelineReport, StageFacts, figures, notes
from pipelines.workflow.runner import Runner, Selection
from pipelines.workflow.stage import Stage
from pipelines.workflow.state import FILE_NAME, PAGE, PipelineState, StageRecord

FILES = (FILE_NAME, PAGE, "logs/")


def run(config: PipelineConfig) -> PipelineReport:
    """Check every stage's settings, then run those that are not done; or tell which those are."""
    pipeline = Pipeline(config.file, config.out, config.vars)
    selection = _selection(config, pipeline)
    folder = Path(pipeline.out)
    if config.dry_run or config.status:
        state = PipelineState.load(folder)
        if config.dry_run:
            return plan(pipeline, state, selection)
        return facts(pipeline, state, ()).model_copy(update={"status": True})
    with claimed(folder, "pipeline", sources=_raw_roots(pipeline)) as out:
        out.claim(*FILES)
        return perform(pipeline, selection, cores=config.cores, command=_command(config))


def perform(
    pipeline: Pipeline,
    selection: "Selection",
    *,
    cores: int | None = None,
    command: str,
    watch: Callable[[PipelineState], None] = lambda state: None,
) -> PipelineReport:
    """Run what is not done in a folder that the caller has claimed; `watch` is called whenever a stage has ended."""
    started, folder = time.monotonic(), Path(pipeline.out)
    state = PipelineState.load(folder)
    ran: list[str] = []

    def changed() -> None:
        state.save(folder)
        write_page(folder, facts(pipeline, state, ran), command)
        watch(state)

    Runner(pipeline, state, selection, cores or pipeline.settings.cores, ran, changed).run()
    report = facts(pipeline, state, ran)
    report.left_out = [name for name in pipeline.order if name not in selection.names]
    report.seconds = round(time.monotonic() - started, 3)
    return report


def facts(pipeline: Pipeline, state: PipelineState, ran: "list[str] | tuple[str, ...]") -> PipelineReport:
    """Tell how far every stage is, as it is noted."""
    folder = Path(pipeline.out)
    return PipelineReport(
        file=pipeline.path,
        out=pipeline.out,
        page=str(folder / PAGE),
        stages=[_facts(pipeline, pipeline.stages[name], state.stages.get(name), ran) for name in pipeline.order],
    )


def plan(pipeline: Pipeline, state: PipelineState, selection: Selection) -> PipelineReport:
    """Tell which stages would run, and why; those behind them may, if their inputs come out otherwise."""
    report, known = facts(pipeline, state, ()), state.identities()
    report.dry_run = True
    moving: set[str] = set()
    for each in report.stages:
        if each.stage not in selection.names:
            each.state, each.why = "left out", []
            continue
        before = [name for name in pipeline.needs(each.stage) if name in moving]
        unsettled = Unsettled(moving, [written for name in moving for written in pipeline.writers[name]])
        verdict = look(pipeline.stage(each.stage), state.stages.get(each.stage), known, unsettled)
        why = [*verdict.why, *(["asked for"] if selection.redo == each.stage and not verdict.why else [])]
        each.error, each.notes = "", []
        if why or before:
            moving.add(each.stage)
            each.state = "to run" if why else "may run"
            each.why = why or [f"if {' or '.join(before)} makes something else"]
            if verdict.moves_output and each.state == "to run":
                each.notes.append("its former output is kept beside the new one")
    return report


def _selection(config: PipelineConfig, pipeline: Pipeline) -> Selection:
    if config.only and (config.until or config.redo):
        raise DataEngineError("--only runs one stage; give it without --until and --redo")
    for option in ("redo", "until", "only"):
        pipeline.known(getattr(config, option), option)
    names = set(pipeline.order)
    if config.until:
        names = pipeline.upstream(config.until)
    if config.only:
        names = {config.only}
    if config.redo and config.redo not in names:
        raise DataEngineError(f"stage '{config.redo}' comes after '{config.until}', which is to be the last")
    return Selection(frozenset(names), config.redo)


def _facts(
    pipeline: Pipeline, stage: Stage, record: StageRecord | None, ran: "list[str] | tuple[str, ...]"
) -> StageFacts:
    log = Path(pipeline.out) / "logs" / f"{stage.name}.log"
    untouched = StageFacts(stage=stage.name, command=stage.command.name, state="waiting", ran=stage.name in ran)
    if record is None:
        return untouched
    return untouched.model_copy(
        update={
            "state": record.state,
            "seconds": round(record.seconds, 1),
            "figures": figures(stage.command.name, record.report),
            "notes": notes(record.report),
            "page": _page(stage, record),
            "log": str(log) if log.exists() else "",
            "line": record.command,
            "error": record.error,
        }
    )


def _page(stage: Stage, record: StageRecord) -> str:
    """Find the page that a command wrote."""
    named = record.report.get("page")
    own = [Path(artifact.path) / "index.html" for artifact in stage.writes if artifact.kind in ("folder", "model")]
    files = [*([Path(named)] if isinstance(named, str) and named else []), *own]
    return next((str(file) for file in files if file.is_file()), "")


def _raw_roots(pipeline: Pipeline) -> list[str]:
    return [
        str(s.values["root"]) for s in pipeline.stages.values() if s.command.name == "ingest" and "root" in s.values
    ]


def _command(config: PipelineConfig) -> str:
    """Write what reproduces the run."""
    given = [word for name, value in config.vars.items() for word in ("--set", f"vars.{name}={value}")]
    out = ["--out", str(config.out)] if config.out else []
    return shlex.join(["villa", "pipeline", config.file, *out, *given])
