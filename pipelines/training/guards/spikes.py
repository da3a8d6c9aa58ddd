"""Which losses stand out of those before them. Nothing is read from the device to know it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

NAMES = ("loss", "grad_norm")
DEVIATION = 1.4826
"""Of a normal distribution, in median absolute deviations."""
LEAST_DEVIATION = 0.01
"""Of the median: losses that hardly vary would make a spike of every tremor."""


class Spikes:
    """Holds the last `window` losses and gradient norms against the next ones; both are robust to what stands out."""

    def __init__(self, deviations: float, window: int, device: torch.device) -> None:
        """Look for values that lie so many `deviations` above the median; 0 looks for none."""
        self._deviations, self._window = deviations, window
        self._recent = torch.zeros(len(NAMES), window, dtype=torch.float64, device=device)
        self._num_seen = 0

    def limits(self) -> tuple[Tensor, Tensor]:
        """Give the median of each of `NAMES`, and where a spike begins; that is infinite until half a window is seen.

        Both have shape (2,).
        """
        known = self._recent[:, : min(self._num_seen, self._window)]
        if not self._num_seen:
            return known.new_zeros(len(NAMES)), known.new_full((len(NAMES),), torch.inf)
        median = _median(known)
        if not self._deviations or 2 * self._num_seen < self._window:
            return median, torch.full_like(median, torch.inf)
        spread = DEVIATION * _median((known - median[:, None]).abs())
        return median, median + self._deviations * torch.maximum(spread, LEAST_DEVIATION * median.abs())

    def add(self, values: Tensor, are_usual: Tensor, median: Tensor) -> None:
        """Remember the values of a step, of shape (2,); the median stands in for those that are not usual."""
        self._recent[:, self._num_seen % self._window] = torch.where(are_usual, values, median)
        self._num_seen += 1

    def state_dict(self) -> dict[str, Any]:
        """Give all that a checkpoint must keep."""
        return {"recent": self._recent.tolist(), "num_seen": self._num_seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it; with another window nothing is known yet."""
        recent = torch.tensor(state["recent"], dtype=torch.float64)
        if recent.shape == self._recent.shape:
            self._recent.copy_(recent)
            self._num_seen = state["num_seen"]


def _median(rows: Tensor) -> Tensor:
    """Give each row's lower median; torch's own waits for the device."""
    return rows.sort(dim=1).values[:, (rows.shape[1] - 1) // 2]
