"""Runs stages as child processes, as many side by side as their threads allow, and notes what each has come to."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dataengine.errors import DataEngineError
from pipelines.workflow.children import Child
from pipelines.workflow.file import Pipeline
from pipelines.workflow.freshness import Fingerprint, Verdict, look, outputs_of
from pipelines.workflow.stage import Stage
from pipelines.workflow.state import PipelineState, StageRecord

POLL_S = 0.1
ASIDE = ".before-"
"""Between a folder's name and the fingerprint of what was left in it: the former output of changed settings."""


@dataclass(frozen=True)
class Selection:
    """Which stages are run."""

    names: frozenset[str]
    redo: str | None = None
    """One that is done again even if nothing changed."""


@dataclass
class _Running:
    stage: Stage
    child: Child
    threads: int
    began: float = field(default_factory=time.time)


class Runner:
    """One call of a pipeline."""

    def __init__(
        self,
        pipeline: Pipeline,
        state: PipelineState,
        selection: Selection,
        cores: int,
        ran: list[str],
        changed: Callable[[], None],
    ) -> None:
        self.pipeline, self.state, self.selection, self.cores = pipeline, state, selection, cores
        self.ran, self.changed = ran, changed
        self.known = state.identities()
        self.waiting = [name for name in pipeline.order if name in selection.names]
        self.running: dict[str, _Running] = {}
        self.done: set[str] = set(pipeline.order) - selection.names
        self.environment: dict[str, str] = {}
        self._stack = contextlib.ExitStack()

    def run(self) -> None:
        """Run what is not done; stop all and raise DataEngineError that names the stage where one fails."""
        self.changed()
        try:
            with self._stack:
                while self.waiting or self.running:
                    self._start_what_can()
                    for name in [name for name, each in self.running.items() if each.child.ended]:
                        self._end(name)
                    if self.running:
                        time.sleep(POLL_S)
            self.changed()  # what was hashed need not be again
        finally:
            self._stop()

    def _start_what_can(self) -> None:
        """Look at every stage whose inputs are there; those that are done let others begin."""
        again = True
        while again:
            again = False
            for name in list(self.waiting):
                if not self.done.issuperset(self.pipeline.needs(name)):
                    continue
                stage = self.pipeline.stage(name)
                if not self._fits(stage):
                    continue
                self.waiting.remove(name)
                verdict = look(stage, self.state.stages.get(name), self.known)
                why = verdict.why or (["asked for"] if self.selection.redo == name else [])
                number = f"[{self.pipeline.order.index(name) + 1}/{len(self.pipeline.order)}]"
                if why:
                    _say(f"{number} {name}: {'; '.join(why)}")
                    self._start(stage, verdict)
                else:
                    _say(f"{number} {name}: done before")
                    self.done.add(name)
                    again = True

    def _fits(self, stage: Stage) -> bool:
        """Tell whether a stage can run beside those that do."""
        used = sum(each.threads for each in self.running.values())
        free = used + self._threads(stage) <= self.cores
        return free and not any(stage.writes_with(each.stage) for each in self.running.values())

    def _threads(self, stage: Stage) -> int:
        return min(stage.threads or self.cores, self.cores)

    def _start(self, stage: Stage, verdict: Verdict) -> None:
        """Make room where the command cannot go on with what is there, note what it depends on, and start it."""
        record = self.state.stages.get(stage.name)
        forced = not verdict.why
        if record and (verdict.moves_output or (forced and stage.command.replaces_output)):
            defaults = stage.command.defaults()
            former = Fingerprint(record.settings, record.inputs).digest(defaults)
            for folder in _folders(stage):
                _set_aside(folder, former)
                if not forced:
                    _take_back(folder, verdict.fingerprint.digest(defaults))
        goes_on = record and record.state != "done" and not verdict.moves_output
        command = stage.as_command(self._log(stage), self._environment(stage))
        self.state.stages[stage.name] = StageRecord(
            state="running",
            command=str(command),
            settings=dict(verdict.fingerprint.settings),
            inputs=dict(verdict.fingerprint.inputs),
            began_at=record.began_at if record and goes_on else time.time(),
            spans=record.spans if record and goes_on else [],
        )
        self.changed()
        _say(f"  $ {command}")
        self.running[stage.name] = _Running(stage, Child(command), self._threads(stage))
        self.ran.append(stage.name)

    def _end(self, name: str) -> None:
        """Note what became of a stage; raise DataEngineError where it failed."""
        running, record = self.running.pop(name), self.state.stages[name]
        record.spans.append((round(running.began, 3), round(time.time(), 3)))
        try:
            record.report = running.child.report()
            if record.report.get("finished") is False:
                raise DataEngineError("its time was up before its last step; the same command continues")
        except DataEngineError as error:
            record.state, record.error = "failed", str(error)
            self.changed()
            raise DataEngineError(f"{self.pipeline.where(name)}: {error}") from None
        record.state, record.outputs = "done", outputs_of(running.stage, self.known)
        self.done.add(name)
        self.changed()

    def _stop(self) -> None:
        """Interrupt what still runs, and wait until each has put its work away."""
        for each in self.running.values():
            each.child.interrupt()
        for name, each in list(self.running.items()):
            with contextlib.suppress(KeyboardInterrupt, DataEngineError):
                each.child.report()
            self.state.stages[name].spans.append((round(each.began, 3), round(time.time(), 3)))
        if self.running:
            self.running.clear()
            self.changed()

    def _log(self, stage: Stage) -> Path:
        return Path(self.pipeline.out) / "logs" / f"{stage.name}.log"

    def _environment(self, stage: Stage) -> dict[str, str]:
        """Start one Ray cluster for all stages to join: each of its own would cost ten seconds more."""
        asks = "ray" in (getattr(stage.config, "engine", ""), getattr(stage.config, "launcher", ""))
        on_ray = asks and not getattr(stage.config, "ray_address", None)
        if on_ray and not self.environment and "RAY_ADDRESS" not in os.environ:
            from dataengine.runners.ray import local_cluster

            self.environment = {"RAY_ADDRESS": self._stack.enter_context(local_cluster())}
        return self.environment if on_ray else {}


def _folders(stage: Stage) -> Iterator[Path]:
    """Name the folders on a disk that a stage writes as a whole."""
    for artifact in stage.writes:
        if artifact.kind in ("model", "shards", "folder") and "://" not in artifact.uri:
            yield Path(artifact.path)


def _set_aside(folder: Path, digest: str) -> None:
    """Keep a former output beside the new one; nothing that took days is deleted."""
    aside = folder.with_name(f"{folder.name}{ASIDE}{digest}")
    if not folder.exists():
        return
    number = 1
    while aside.exists():
        number += 1
        aside = folder.with_name(f"{folder.name}{ASIDE}{digest}-{number}")
    folder.rename(aside)
    _say(f"  its former output is kept in {aside}")


def _take_back(folder: Path, digest: str) -> None:
    """Go on with an output of these very settings and inputs that an earlier change set aside."""
    aside = folder.with_name(f"{folder.name}{ASIDE}{digest}")
    if aside.exists() and not folder.exists():
        aside.rename(folder)
        _say(f"  the output that was kept in {aside} is taken back")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
