"""Round numbers for axes, and their labels."""

import math
from collections.abc import Sequence

FEW = 3
"""Ticks that an axis needs at least to be read."""


def round_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`: two at least."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m * count >= span * 0.999)
    start, stop = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if start == stop:
        start, stop = start - 1, stop + 1
    return [round(step * i, 12) for i in range(start, stop + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within the range; fewer when it is long, other round numbers when it is short."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**p for p in powers for m in ((1,) if len(powers) > 4 else (1, 2, 5))]
    for count in (0, 4, 6, 8):
        if count:
            ticks = round_ticks(low, high, count)
        inside = [t for t in ticks if low <= t <= high]
        if len(inside) >= FEW:
            break
    return inside


def short_number(value: float, digits: int = 4) -> str:
    """Print a number of an axis."""
    return f"{value / 1000:.{max(digits, 6)}g}k" if abs(value) >= 1000 else f"{value:.{digits}g}"


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Print the numbers of an axis with as many digits as tell them apart."""
    labels: list[str] = []
    for digits in range(4, 13):
        labels = [short_number(tick, digits) for tick in ticks]
        if len(set(labels)) == len(set(ticks)):
            break
    return labels
