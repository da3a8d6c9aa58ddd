"""Simulators in a process of their own, played step by step from this one: one that dies or hangs is an error here.

Their process is fresh: a drawing context does not survive a fork.
"""

import os
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.runners.processes import Child, start
from pipelines.evaluation.simulators._base import Observation, Simulator, make_simulator, simulator_class
from pipelines.evaluation.simulators._workers import one_thread


class SimulatorProcess:
    """Holds simulators of one kind, one of each task; every answer has to come within a time limit."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self._name, self._timeout_s = name, timeout_s
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._child is not None:
            self._child.stop()

    def make(self, task: str) -> Simulator:
        """Set up a task anew; raise DataEngineError where that fails, dies or takes too long."""
        self.ask(task, "", ())
        kind = simulator_class(self._name)
        made: Simulator = type(kind.__name__, (_Played, kind), {})(self, task)  # it has all that the class says
        return made

    def ask(self, task: str, what: str, arguments: tuple[Any, ...]) -> Any:
        """Have a simulator do something, set it up where `what` is empty; raise DataEngineError where it does not."""
        doing = f"in {what}()" if what else "while it was set up"
        if self._child is None:
            with one_thread():
                self._child = start(_serve, self._name)
        pipe = self._child.pipe
        with suppress(OSError):  # a process that is gone is noticed below
            pipe.send((task, what, arguments))
        if not pipe.poll(self._timeout_s):
            raise DataEngineError(
                f"{self._name} {task}: no answer within {self._timeout_s:g} s {doing}; --step-timeout-s waits longer"
            )
        try:
            failure, answer = pipe.recv()
        except (EOFError, OSError):
            raise DataEngineError(f"{self._name} {task}: its process died {doing}") from None
        if failure:
            raise DataEngineError(failure)
        return answer


class _Played:
    """One task, as a simulator of this process would do it."""

    def __init__(self, process: SimulatorProcess, task: str) -> None:
        self._process, self.task = process, task

    def reset(self, seed: int) -> None:
        self._process.ask(self.task, "reset", (seed,))

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        return bool(self._process.ask(self.task, "step", (raw_action,)))

    def observe(self) -> Observation:
        seen: Observation = self._process.ask(self.task, "observe", ())
        return seen

    def expert(self) -> NDArray[np.float32]:
        return np.asarray(self._process.ask(self.task, "expert", ()), np.float32)

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._process.ask(self.task, "to_raw", (action,)), np.float32)

    def to_canonical(self, raw_action: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._process.ask(self.task, "to_canonical", (raw_action,)), np.float32)


def _serve(pipe: Connection, name: str) -> None:
    """Do what is asked for until the other side closes: (task, method, arguments) in, (failure, answer) out."""
    os.dup2(2, 1)  # what libraries print does not belong to the command's report
    made = dict[str, Simulator]()
    while True:
        try:
            task, what, arguments = pipe.recv()
        except EOFError:
            return
        failure, answer = "", None
        try:
            if what:
                answer = getattr(made[task], what)(*arguments)
            else:
                made[task] = make_simulator(name, task)
        except (DataEngineError, ValueError) as error:
            failure = str(error)
        except Exception as error:  # what a simulator raises need not survive a pipe
            failure = " ".join(f"{name} {task}: {type(error).__name__}: {error}".split())[:300]
        pipe.send((failure, answer))
