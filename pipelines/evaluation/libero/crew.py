"""Simulators side by side: each a process that plays what it is asked, replaced when it dies or hangs."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from pipelines.evaluation.client_process import Answer, ClientProcess
from pipelines.evaluation.libero.environment import libero

START_TRIES = 2
"""How often a simulator may fail before it has begun an episode."""


class Simulator(ClientProcess):
    """One process of LIBERO's environment, and what it says."""

    def __init__(self, python: Path, command: str, **arguments: Any) -> None:
        super().__init__(libero(python), command, **arguments)


class Crew:
    """Plays jobs; a simulator keeps to a task as long as it has episodes, because a change of scene takes seconds."""

    def __init__(
        self, jobs: Sequence[Answer], make: Callable[[], Simulator], silence_s: float, ahead: int | None = None
    ) -> None:
        """`ahead`: among how many of the next jobs a simulator looks for one of its task; None for all of them."""
        self._todo, self._ahead = list(enumerate(jobs)), ahead
        self._make, self._silence_s = make, silence_s
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._answers: queue.Queue[tuple[int, Answer]] = queue.Queue()
        self._count = len(jobs)

    def play(self, workers: int) -> Iterator[tuple[int, Answer]]:
        """Yield (index of the job, answer) as episodes end: `ended` or `lost`.

        Raise DataEngineError where the policy failed, or no simulator begins to work.
        """
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(min(workers, self._count))]
        for thread in threads:
            thread.start()
        try:
            for _ in range(self._count):
                index, answer = self._next(threads)
                if answer["event"] == "policy_failed":
                    raise DataEngineError(
                        f"{answer['why']}; finished episodes are kept: mend it and give the same command again"
                    )
                if answer["event"] == "broken":
                    raise DataEngineError(f"LIBERO: {answer['why']}; finished episodes are kept")
                yield index, answer
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _next(self, threads: Sequence[threading.Thread]) -> tuple[int, Answer]:
        while True:
            try:
                return self._answers.get(timeout=0.5)  # so that Ctrl-C is heard
            except queue.Empty:
                if not any(thread.is_alive() for thread in threads) and self._answers.empty():
                    raise DataEngineError("the simulators ended before their work did; run the command again") from None

    def _take(self, task: int) -> tuple[int, Answer] | None:
        with self._lock:
            if self._stopped.is_set() or not self._todo:
                return None
            same = [i for i, (_, job) in enumerate(self._todo[: self._ahead]) if job["task"] == task]
            return self._todo.pop(same[0] if same else 0)

    def _work(self) -> None:
        simulator, task = None, -1
        try:
            while (taken := self._take(task)) is not None:
                index, job = taken
                task = job["task"]
                for _ in range(START_TRIES):
                    simulator, answer = self._play(simulator, job)
                    if answer["event"] != "broken":
                        break
                if answer["event"] == "stopped":
                    return
                self._answers.put((index, answer))
        finally:
            if simulator is not None:
                simulator.end()

    def _play(self, simulator: Simulator | None, job: Answer) -> tuple[Simulator | None, Answer]:
        """Play a job, in a fresh simulator where there is none; give what can play the next, and the answer."""
        answer: Answer = {"event": "ready"}
        if simulator is None:
            simulator = self._make()
            answer = simulator.hear(self._silence_s, self._stopped)
        if answer["event"] == "ready":
            simulator.ask(job)
            answer = simulator.hear(self._silence_s, self._stopped)
        elif answer["event"] != "stopped":
            answer = {"event": "broken", "why": answer["why"]}
        if answer["event"] in ("ended", "stopped"):
            return simulator, answer
        simulator.end()
        return None, answer
