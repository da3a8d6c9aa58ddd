"""`villa serve`: a policy, or a recorded episode, behind a port that robots and benchmarks can talk to."""

import asyncio
from importlib.util import find_spec

from dataengine.errors import DataEngineError
from dataengine.report import Report
from pipelines.serving.config import ServeConfig
from pipelines.serving.engine import Engine, PolicyEngine
from pipelines.serving.record import LerobotRecorder
from pipelines.serving.replay import ReplayEngine
from pipelines.serving.server import read_token, serve
from pipelines.serving.service import Recorder

NEEDED = ("websockets", "msgpack")


class ServeReport(Report):
    """What was served until the server was stopped."""

    sessions: int
    answers: int
    errors: int
    """Requests that were answered by a line of text."""
    ms: dict[str, dict[str, float]]
    """p50 and p99 of the newest answers by stage, in milliseconds."""
    recorded: str = ""
    """Folder of the recorded sessions."""

    def summary(self) -> str:
        """Say how many, and how fast."""
        stages = ", ".join(f"{name} {ms['p50']:.1f} / {ms['p99']:.1f}" for name, ms in self.ms.items())
        lines = [f"{self.answers} answers, {self.errors} errors, {self.sessions} sessions"]
        lines += [f"ms (p50 / p99): {stages}"] if stages else []
        return "\n".join([*lines, *([f"recorded: {self.recorded}"] if self.recorded else [])])


def run(config: ServeConfig) -> ServeReport:
    """Serve until SIGINT or SIGTERM."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise DataEngineError(f"`villa serve` needs {missing[0]}: pip install 'villa-engine[serve]'")
    token = read_token(config)
    service = asyncio.run(serve(config, token, lambda: _load(config)))
    return ServeReport(
        sessions=service.num_sessions,
        answers=service.timings.num_answers,
        errors=service.timings.num_errors,
        ms=service.timings.quantiles(),
        recorded=str(config.record or ""),
    )


def _load(config: ServeConfig) -> tuple[Engine, Recorder | None]:
    """Read and warm what is served; called in a thread, while the port is open."""
    engine: Engine = ReplayEngine(config) if config.replay else PolicyEngine(config)
    recorder = LerobotRecorder(config.record, engine.metadata()) if config.record else None
    engine.warm_up()
    return engine, recorder
