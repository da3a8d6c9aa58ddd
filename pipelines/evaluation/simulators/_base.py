"""What every simulator offers, where its seeds come from, and how it finds a way to draw without a display."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.naming import class_named, did_you_mean, module_names
from pipelines.evaluation.clients.drawing import drawing_fault

EVAL_SEEDS_FROM = 1_000_000
"""Recordings use seeds below this number, evaluations seeds from it on: no start of an evaluation was ever recorded."""

INSTALL = "pip install 'villa-engine[sim]'"
REINSTALL = "pip install --force-reinstall 'villa-engine[sim]'"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a robot sees and feels at one instant; also what a policy is asked about."""

    image: NDArray[np.uint8]
    """(height, width, 3) the camera that lands in slot `primary`."""
    wrist: NDArray[np.uint8] | None = None
    """(height, width, 3) the camera that lands in slot `wrist`, where the robot has one."""
    raw_state: NDArray[np.float32]
    """(s,) the simulator's own numbers."""
    state: NDArray[np.float32]
    """(s,) canonical: what `dataengine.sources` makes of `raw_state`."""
    embodiment: str
    control_hz: float
    wrist_2: NDArray[np.uint8] | None = None
    """(height, width, 3) the second wrist of a two-armed robot."""


class Simulator(Protocol):
    """One task of one simulated robot; `pipelines/evaluation/simulators/<name>.py` holds the class."""

    name: ClassVar[str]
    source: ClassVar[str]
    """Which source of `dataengine.sources` reads its recordings."""
    embodiment: ClassVar[str]
    control_hz: ClassVar[float]
    tasks: ClassVar[Mapping[str, str]]
    """Task name to the sentence that asks for it."""
    max_steps: ClassVar[int]
    """Control steps after which an attempt counts as failed."""
    expert_noise: ClassVar[float]
    """Standard deviation of the noise on executed actions while recording, as a share of the full action."""

    def __init__(self, task: str) -> None: ...

    def reset(self, seed: int) -> None:
        """Begin the attempt that belongs to this seed: the same scene every time."""
        ...

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        """Act for one control step; say whether the simulator calls the task done."""
        ...

    def observe(self) -> Observation:
        """Look: drawing costs more than a step, and a policy that acts in chunks need not look every time."""
        ...

    def expert(self) -> NDArray[np.float32]:
        """Look into the simulation and return the raw action of a scripted expert."""
        ...

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn a canonical action (a,) into the simulator's own."""
        ...

    def to_canonical(self, raw_action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn the simulator's own action into a canonical one (a,), as `source` does."""
        ...


@cache
def require_drawing() -> None:
    """Raise DataEngineError, with what to install, when this machine has no simulator or cannot draw."""
    try:
        fault = drawing_fault()
    except ModuleNotFoundError as error:
        raise DataEngineError(f"the simulators need {error.name}: {INSTALL}") from error
    if fault:
        raise DataEngineError(fault)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what simulator packages print and warn of while they are imported and set up."""
    with ExitStack() as silence:
        nowhere = silence.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        silence.enter_context(redirect_stdout(nowhere))
        silence.enter_context(redirect_stderr(nowhere))
        silence.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def simulator_names() -> list[str]:
    """Every simulator there is."""
    return module_names("pipelines.evaluation.simulators")


ALIASES: Mapping[str, str] = {"robosuite": "lift"}
"""What people call a simulator after the package that it comes with."""


def simulator_class(name: str) -> type[Simulator]:
    """Find a simulator by its name: `two_arm` is class `TwoArm` of `two_arm.py`."""
    return class_named("simulator", "pipelines.evaluation.simulators", ALIASES.get(name, name))


def make_simulator(name: str, task: str) -> Simulator:
    """Set up one task; raise DataEngineError, with what to install, where a package or a file of it is missing."""
    try:
        return simulator_class(name)(task)
    except DataEngineError:
        raise
    except Exception as error:  # what is damaged in a package raises whatever it likes
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        advice = "mend its file, --debug shows where" if ":" in name else f"{REINSTALL} brings its packages anew"
        raise DataEngineError(f"{name} cannot be set up for {task}: {reason}; {advice}") from error


def default_tasks(simulator: type[Simulator]) -> tuple[str, ...]:
    """Name the tasks that are played where none is named: those that a simulator says, else all it has."""
    return getattr(simulator, "default_tasks", tuple(simulator.tasks))


def action_dim(simulator: Simulator) -> int:
    """Count the numbers of its raw action; not every simulator has an expert for every task, and those say it."""
    return int(getattr(simulator, "raw_action_dim", 0)) or len(simulator.expert())


def step_limit(simulator: type[Simulator], task: str) -> int:
    """Count the control steps of an episode: of some simulators, tasks have their own."""
    limits: Mapping[str, int] = getattr(simulator, "steps_of_task", {})
    return limits.get(task, simulator.max_steps)


def num_starts(simulator: type[Simulator], task: str) -> int:
    """Count the starts of a task that has so many and no more; 0 where every seed begins elsewhere."""
    counts: Mapping[str, int] = getattr(simulator, "starts_of_task", {})
    return counts.get(task, 0)


def plays_to_end(simulator: type[Simulator]) -> bool:
    """Tell a benchmark that counts what is solved when the last step is over; success ends no episode there."""
    return bool(getattr(simulator, "plays_to_end", False))


def check_task(simulator: type[Simulator], task: str) -> None:
    """Raise ValueError for a task that the simulator does not have."""
    if task not in simulator.tasks:
        raise ValueError(f"{simulator.name} has no task '{task}'; {did_you_mean(task, simulator.tasks)}")
