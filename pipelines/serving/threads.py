"""How many threads a policy answers with on a CPU: measured while the server warms up.

A small policy is fastest with one, a batch of many robots or a large policy with more, and what a thread is worth
depends on the machine. torch's own choice, all cores, can take several times as long.
"""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Final

ROUNDS: Final = 3
"""Answers of which the fastest counts; what else runs on the machine slows some of them."""
BUDGET_S: Final = 5.0
WORTH: Final = 1.25
"""How many times the fastest an answer may take with fewer threads: the others are free for whatever else runs."""


class Threads:
    """Numbers of threads, by the number of observations that are answered at once."""

    def __init__(self, most: int, by_batch: dict[int, int]) -> None:
        self._most, self._by_batch = most, by_batch

    @classmethod
    def measured(cls, answer: Callable[[int], object], max_batch: int) -> "Threads":
        """Answer 1, 2, 4 ... observations with as many threads as torch has, down to one.

        Batches for which no time is left take all threads.

        Call it from the thread that answers later: each thread that computes has helpers of its own.
        """
        import torch

        most, by_batch, deadline = torch.get_num_threads(), dict[int, int](), perf_counter() + BUDGET_S
        for batch in _doubled(max_batch) if most > 1 else ():
            took_s: dict[int, float] = {}
            for threads in reversed(list(_doubled(most))):
                if perf_counter() > deadline:
                    return cls(most, by_batch)
                torch.set_num_threads(threads)
                took_s[threads] = _fastest(answer, batch)
            by_batch[batch] = min(count for count, took in took_s.items() if took <= WORTH * min(took_s.values()))
        return cls(most, by_batch)

    def use(self, batch: int) -> None:
        """Let torch have the threads that answer a batch."""
        import torch

        torch.set_num_threads(self._by_batch.get(1 << (batch.bit_length() - 1), self._most))


def _doubled(most: int) -> Iterator[int]:
    """Give 1, 2, 4 ... and the largest number itself."""
    yield from (2**power for power in range((most - 1).bit_length()))
    yield most


def _fastest(answer: Callable[[int], object], batch: int) -> float:
    answer(batch)
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        answer(batch)
        times.append(perf_counter() - start)
    return min(times)
