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


def far_off(state: NDArray[np.float32], seen: "Statistics") -> str:
    """Say which value of a state (s,) is farthest from what training saw; empty where none is far."""
    beyond = np.maximum(seen.q01 - state, state - seen.q99) / np.maximum(seen.q99 - seen.q01, LEAST_RANGE)
    if not len(state) or beyond.max() <= FAR:
        return ""
    i = int(beyond.argmax())
    name, unit = seen.names[i] if seen.names else f"value {i}", f" {seen.units[i]}" if seen.units else ""
    return (
        f"state {name} is {state[i]:g}, training saw {seen.q01[i]:.3g} to {seen.q99[i]:.3g}{unit}: another unit or "
        f"origin? The policy sees it clipped"
    )
