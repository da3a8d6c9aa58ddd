"""`villa eval libero-record`: demonstrations of a scripted expert in LIBERO-Object, as raw datasets for `villa ingest`.

They begin at fresh draws of the layouts, never at the 50 official starts that evaluations use.
"""

from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Annotated, Any, Literal

from pydantic import Field

from dataengine import progress
from dataengine.config import MOST, Config
from dataengine.errors import DataEngineError
from dataengine.report import Report
from pipelines.evaluation.libero.crew import Simulator
from pipelines.evaluation.libero.environment import find_python
from pipelines.evaluation.recording import libero
from pipelines.evaluation.recording.libero_episode import VERSION, load
from pipelines.evaluation.simulators._workers import run_jobs
from pipelines.output.folder import claimed

SUITE = "libero_object"
SHARD_EPISODES = 25
SILENCE_S = 600.0
"""Longest that the simulator may say nothing; an attempt takes seconds, the first of a task a minute."""


class RecordConfig(Config):
    """How many episodes of which tasks, and in which form."""

    out: Path = Path("runs/libero")
    """Folder of the recordings."""
    tasks: tuple[Annotated[int, Field(ge=0, lt=10)], ...] = tuple(range(10))
    """Numbers of tasks of LIBERO-Object."""
    episodes: int = Field(20, ge=1, le=MOST)
    """Successful episodes of each task from each kind of start."""
    init_sets: tuple[Literal["random", "wide"], ...] = ("random", "wide")
    """`random`: fresh draws of the official layout. `wide`: objects lie anywhere on the floor."""
    forms: tuple[Literal["hdf5", "rlds"], ...] = ("hdf5", "rlds")
    """`hdf5` for `villa ingest libero_hdf5`, with what the robot executed; `rlds` for `villa ingest openx/libero`, with
    what the expert wanted."""
    image_size: int = Field(128, ge=16, le=1024)
    """Side of the pictures; those of `rlds` are 128."""
    render_quality: Literal["full", "fast"] = "full"
    """`fast` draws without shadows, reflections and smoothed edges."""
    python: str = ""
    """Python of the environment that `make sim-libero` makes; by default `.venv-libero/bin/python`, or what the
    environment variable `VILLA_LIBERO_PYTHON` says."""


class RecordReport(Report):
    """What was recorded, and where it lies."""

    episodes: int
    steps: int
    failed: int
    """Starts at which the expert failed; they are left out."""
    hdf5: str = ""
    rlds: str = ""

    def summary(self) -> str:
        """Say how many, and how to go on."""
        lines = [f"{self.episodes} episodes, {self.steps} steps; the expert failed at {self.failed} starts"]
        lines += [f"villa ingest libero_hdf5 {self.hdf5} --corpus CORPUS"] if self.hdf5 else []
        lines += [f"villa ingest openx/libero {self.rlds} --corpus CORPUS"] if self.rlds else []
        return "\n".join(lines)


def run(config: RecordConfig) -> RecordReport:
    """Record what is missing, then write the forms."""
    python = find_python(config.python)
    if "rlds" in config.forms and find_spec("tensorflow_datasets") is None:
        raise DataEngineError("RLDS is written by TFDS: pip install 'villa-engine[demo]', or --forms hdf5")
    if "rlds" in config.forms and config.image_size != 128:
        raise DataEngineError(f"image_size is {config.image_size}, RLDS has pictures of 128; give --forms hdf5")
    with claimed(config.out, "eval libero-record") as folder:
        folder.claim("attempts/", "hdf5/", "rlds/")
        attempts = config.out / "attempts"
        _record(config, python, attempts.absolute())
        files = sorted(attempts.glob("*.npz"))
        if "hdf5" in config.forms:
            libero.write_hdf5(files, config.out / "hdf5")
        if "rlds" in config.forms:
            for _ in run_jobs(_write_rlds, [(files, config.out / "rlds")], 1):
                pass
    return RecordReport(
        episodes=len(files),
        steps=sum(int(load(file)["action"].shape[0]) for file in files),
        failed=len(list(attempts.glob("*.failed"))),
        hdf5=str(config.out / "hdf5" / SUITE) if "hdf5" in config.forms else "",
        rlds=str(config.out / "rlds" / SUITE / VERSION) if "rlds" in config.forms else "",
    )


def _write_rlds(job: tuple[list[Path], Path]) -> None:
    files, out = job
    libero.write_rlds(files, out, max(1, len(files) // SHARD_EPISODES))


def _record(config: RecordConfig, python: Path, attempts: Path) -> None:
    """Let the simulator's environment record; raise DataEngineError where it does not come to its end."""
    settings: dict[str, Any] = {
        "suite": SUITE,
        "tasks": list(config.tasks),
        "sets": list(config.init_sets),
        "count": config.episodes,
        "side": config.image_size,
        "quality": config.render_quality,
        "out": str(attempts),
    }
    pattern = [f"{SUITE}-{task:02d}-{kind}-*.npz" for task in config.tasks for kind in config.init_sets]
    done = sum(min(config.episodes, len(list(attempts.glob(one)))) for one in pattern)
    simulator = Simulator(python, "record", **settings)
    try:
        with progress.task("record libero", config.episodes * len(pattern), "episodes", done=done) as live:
            while (answer := simulator.hear(SILENCE_S, Event()))["event"] == "recorded":
                live.advance(note=f"task {answer['task']} {answer['init_set']}")
    finally:
        simulator.end()
    if answer["event"] != "ended":
        raise DataEngineError(
            f"the simulator ended while it recorded ({answer.get('why', '')}); what was recorded is kept, and the same "
            f"command goes on"
        )
