"""Tells states that lie where training never was: the policy sees them clipped, so they are said."""

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dataengine.windows.stats import Statistics

FAR: Final = 10.0
"""Usual ranges (1 % to 99 %) between a value and the usual one: no wide start, but another unit or origin."""
LEAST_RANGE: Final = 0.1
"""Metres, radians or openings that a range counts for where the values of training hardly differ."""


class UsualStates:
    """States of one robot in training."""

    def __init__(self, seen: "Statistics") -> None:
        self._seen = seen
        self._range = np.maximum(seen.q99 - seen.q01, LEAST_RANGE)
        self._least, self._most = seen.q01 - FAR * self._range, seen.q99 + FAR * self._range

    def far_off(self, state: NDArray[np.float32]) -> str:
        """Say which value of a state (s,) is farthest from what training saw; empty where none is far."""
        if not ((state < self._least) | (state > self._most)).any():
            return ""
        seen = self._seen
        i = int((np.maximum(seen.q01 - state, state - seen.q99) / self._range).argmax())
        name, unit = seen.names[i] if seen.names else f"value {i}", f" {seen.units[i]}" if seen.units else ""
        return (
            f"state {name} is {state[i]:g}, training saw {seen.q01[i]:.3g} to {seen.q99[i]:.3g}{unit}: another unit or "
            f"origin? The policy sees it clipped"
        )
