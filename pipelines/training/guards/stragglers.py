"""Which rank is slow: all others wait for it in every step, and look as slow as it is."""

import socket
import statistics
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import nn

from pipelines.training.distributed import Distributed

SLOWER = 1.5
"""Times the median of the ranks, that is worth a word."""
LEAST_MS = 5.0
"""Of difference: below, it is how tasks happen to be scheduled."""
IN_A_ROW = 2
"""Entries that must agree: anybody is slow once."""


class Stragglers:
    """Compares what each rank takes for its own work: waiting for its batch, and the forward pass."""

    def __init__(self, distributed: Distributed, say: Callable[[str], None]) -> None:
        self._distributed, self._say = distributed, say
        self._seconds, self._waited, self._start = 0.0, 0.0, 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._slow: list[int] = []
        self._named: set[int] = set()

    def watch(self, root: nn.Module, model: nn.Module) -> None:
        """Take the time of `root`'s forward passes while `model` trains, without what ranks exchange around them."""
        if self._distributed.world_size > 1:
            root.register_forward_pre_hook(lambda *_: self._begin() if model.training else None)
            root.register_forward_hook(lambda *_: self._end() if model.training else None)

    def _begin(self) -> None:
        self._start = time.perf_counter()
        if self._distributed.device.type == "cuda":
            self._events.append((torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)))
            self._events[-1][0].record()

    def _end(self) -> None:
        """Take the time of a GPU by its own clock, which is read when an entry is due."""
        if self._distributed.device.type == "cuda":
            self._events[-1][1].record()
        else:
            self._seconds += time.perf_counter() - self._start

    def check(self, num_steps: int, waited_s: float) -> None:
        """Say, once for each, which rank was slow in two entries one after the other; all ranks call it together.

        `waited_s` are the seconds that this rank has waited for batches in all; `num_steps` were taken since the last
        call.
        """
        d = self._distributed
        if d.world_size == 1:
            return
        on_gpu = sum(start.elapsed_time(end) for start, end in self._events) / 1e3
        own = self._seconds + on_gpu + waited_s - self._waited
        self._seconds, self._waited, self._events = 0.0, waited_s, []
        mine = torch.tensor([1e3 * own / max(num_steps, 1)], dtype=torch.float64, device=d.device)
        ms = d.all_gather(mine).flatten().tolist()
        slowest, median = max(range(d.world_size), key=lambda rank: ms[rank]), statistics.median_low(ms)
        is_slow = ms[slowest] > SLOWER * median and ms[slowest] - median > LEAST_MS
        self._slow = [*self._slow, slowest][-IN_A_ROW:] if is_slow else []
        if self._slow == [slowest] * IN_A_ROW and slowest not in self._named:
            self._named.add(slowest)
            hosts: list[str] = [""] * d.world_size
            dist.all_gather_object(hosts, socket.gethostname())
            self._say(
                f"rank {slowest} on {hosts[slowest]} takes {ms[slowest]:.0f} ms for the data and the forward pass of a "
                f"step, the others {median:.0f}: all wait for it; see what else that machine does, or leave it out"
            )
