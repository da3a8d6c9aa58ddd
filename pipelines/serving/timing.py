"""How long each stage of an answer takes."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

STAGES: Final = ("decode", "queue", "infer", "encode")
"""Read the frame; wait for a batch; ask the policy; write the reply."""
KEPT: Final = 10_000
"""Newest answers that quantiles are of."""


class Timings:
    """Milliseconds of the newest answers, by stage; may be written to by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ms = {stage: deque[float](maxlen=KEPT) for stage in (*STAGES, "total")}
        self.num_answers = 0
        self.num_errors = 0

    def add(self, ms: dict[str, float]) -> None:
        """Take in one answer."""
        with self._lock:
            self.num_answers += 1
            for stage, kept in self._ms.items():
                if stage in ms:
                    kept.append(ms[stage])

    def add_error(self) -> None:
        """Count an answer that was an error."""
        with self._lock:
            self.num_errors += 1

    def quantiles(self) -> dict[str, dict[str, float]]:
        """Give p50 and p99 of each stage, in milliseconds; nothing of stages that there were none of."""
        with self._lock:
            sorted_ms = {stage: sorted(kept) for stage, kept in self._ms.items() if kept}
        return {
            stage: {"p50": round(_at(ms, 0.5), 3), "p99": round(_at(ms, 0.99), 3)} for stage, ms in sorted_ms.items()
        }


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@contextmanager
def timed(ms: dict[str, float], stage: str) -> Iterator[None]:
    """Add how long a block takes to a stage."""
    start = perf_counter()
    try:
        yield
    finally:
        ms[stage] = ms.get(stage, 0.0) + (perf_counter() - start) * 1000
