"""How fast a training is, and what of the machine it uses, since the entry of the metrics before."""

import resource
import sys
import time
from collections.abc import Callable
from functools import cached_property

import torch

from pipelines.training.distributed import Distributed
from pipelines.training.peak import peak_flops
from pipelines.training.settings import LoopConfig

FlopsPerWindow = Callable[[], float | None]
"""Operations that training takes for a window now, forward and backward; None where nobody has counted them."""


class Speed:
    """Measures from one entry to the next."""

    def __init__(self, config: LoopConfig, distributed: Distributed, flops: FlopsPerWindow) -> None:
        self._config, self._distributed, self._flops = config, distributed, flops
        self.begin(0)

    def begin(self, step: int) -> None:
        """Measure from here on, after a step."""
        self._step, self._start = step, time.perf_counter()
        self._waited, self._apart = 0.0, 0.0

    def figures(self, step: int, waited_s: float, apart_s: float) -> dict[str, float]:
        """Give the figures of the steps since the last call.

        `waited_s` and `apart_s` are the seconds of this call of the program in which the trainer waited for batches,
        and in which it did something else than to train.
        """
        num_steps, seconds = step - self._step, time.perf_counter() - self._start - (apart_s - self._apart)
        waited_s, self._waited = waited_s - self._waited, waited_s
        self._step, self._start, self._apart = step, time.perf_counter(), apart_s
        if num_steps <= 0 or seconds <= 0:
            return {}
        per_s = num_steps * self._config.batch_size / seconds
        figures = {"samples_per_s": per_s, "data_wait": min(waited_s / seconds, 1.0), "memory_gb": self._memory_gb()}
        flops = self._flops()
        if flops is not None and self._peak is not None:
            figures["mfu"] = per_s * flops / (self._peak * self._distributed.world_size)
        return figures

    @cached_property
    def _peak(self) -> float | None:
        return peak_flops(self._distributed.device, self._config.peak_tflops)

    def _memory_gb(self) -> float:
        """Give the most memory that this process has taken so far: of its GPU, else of the machine."""
        if self._distributed.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._distributed.device) / 1e9
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
