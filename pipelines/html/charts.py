"""Small charts: they scale, follow the page's colours, and need neither a library nor a network."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pipelines.html.drawing import CHART_WIDTH as WIDTH
from pipelines.html.drawing import Circle, Drawing, Line, Polyline, Rect, Shape, SvgText, Whisker, colour
from pipelines.html.ticks import log_ticks, round_ticks, short_number, tick_labels

HEIGHT = 250
LETTER = 7
"""Width in pixels that a letter of a label may take."""
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 14, 40


@dataclass(frozen=True)
class Series:
    """One named line."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Value:
    """One number with the interval that it may lie in; without one, low and high are the number itself."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Lower and upper end of the interval."""
        return self.value if self.low is None else self.low, self.value if self.high is None else self.high


def line_chart(title: str, series: Sequence[Series], *, x_label: str, y_label: str = "", log: bool = False) -> str:
    """Draw lines over a common axis; a logarithmic one when asked and every number is positive."""
    numbers = [y for line in series for y in line.y if math.isfinite(y)]
    if not numbers:
        return ""
    scale = _AxisScale.over(numbers, log and min(numbers) > 0)
    last = max(x for line in series for x in line.x)
    first = min(x for line in series for x in line.x)
    width = WIDTH - LEFT - RIGHT

    def across(x: float) -> float:
        return LEFT + width * (x - first) / max(last - first, 1e-9)

    shapes = [*scale.grid(), *_below(round_ticks(first, last, 5), first, last, across)]
    for i, line in enumerate(series):
        points = [(across(x), scale.down(y)) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        shapes.append(Polyline(points, colour(i)))
    shapes.append(SvgText(LEFT + width / 2, HEIGHT - 6, x_label))
    return _figure(title, shapes, y_label, [line.name for line in series])


def bar_chart(
    title: str,
    groups: Mapping[str, Sequence[Value | None]],
    names: Sequence[str],
    *,
    y_label: str = "",
    line_at: float | None = None,
    top: float | None = None,
) -> str:
    """Draw groups of bars with error bars; `line_at` marks what the bars are to be compared with."""
    ends = [end for group in groups.values() for value in group if value for end in value.ends]
    if not ends:
        return ""
    scale = _AxisScale.over(
        [0.0, top if top is not None else max(ends), *([line_at] if line_at is not None else [])], False
    )
    step = (WIDTH - LEFT - RIGHT) / len(groups)
    bar = min(step * 0.8 / len(names), 34.0)
    shapes = scale.grid()
    for i, (group, values) in enumerate(groups.items()):
        middle = LEFT + step * (i + 0.5)
        shapes.append(SvgText(middle, HEIGHT - BOTTOM + 16, group))
        for j, value in enumerate(values):
            if value is None:
                continue
            x = middle + bar * (j - len(names) / 2)
            y, tip = scale.down(value.value), f"{names[j]}: {value.value:.3g}"
            height = max(scale.down(0.0) - y, 1)
            shapes.append(Rect(x + 1, y, bar - 2, height, colour(j), tip, rounded=2))
            low, high = value.ends
            if high > low:
                shapes.append(Whisker(x + bar / 2, scale.down(low), scale.down(high)))
    if line_at is not None:
        y = scale.down(line_at)
        shapes.append(Line(LEFT, y, WIDTH - RIGHT, y, "mark"))
    return _figure(title, shapes, y_label, names)


def histogram(title: str, numbers: ArrayLike, marks: Mapping[str, float], *, bins: int = 40) -> str:
    """Draw how often which numbers occur, on a logarithmic axis, with a dashed line at each mark.

    The axis covers all but the outermost half per cent and every mark; what lies beyond counts in the outermost bar.
    """
    known = np.asarray(numbers, dtype=np.float64)
    known = known[np.isfinite(known)]
    shown = {name: x for name, x in marks.items() if math.isfinite(x)}
    if not len(known):
        return ""
    ends = [*np.quantile(known, [0.005, 0.995], method="nearest").tolist(), *shown.values()]
    low, high = min(ends), max(ends)
    if math.isclose(low, high, rel_tol=1e-6):  # one number, but for the rounding of float32
        high = low
    step = (high - low) * 1.04 / bins or 1.0
    first = low - 0.02 * (high - low)
    counts = np.bincount(np.clip((known - first) / step, 0, bins - 1).astype(int), minlength=bins).tolist()
    scale, width = _AxisScale(0.7, max(counts) * 1.2, True), (WIDTH - LEFT - RIGHT) / bins
    shapes = scale.grid(whole=True)
    for i, count in enumerate(counts):
        if count:
            y = scale.down(count)
            shapes.append(Rect(LEFT + width * i, y, width - 1, HEIGHT - BOTTOM - y, "var(--c0)", f"{count}"))

    def across(x: float) -> float:
        return LEFT + width * (x - first) / step

    shapes += _below(round_ticks(low, high, 4), low, high, across)
    for i, (name, x) in enumerate(shown.items()):
        in_left_half = x < (low + high) / 2
        label = f"{name} {short_number(x)}"
        shapes.append(Line(across(x), TOP, across(x), HEIGHT - BOTTOM, "mark"))
        side = "start" if in_left_half else "end"
        shapes.append(SvgText(across(x) + (5 if in_left_half else -5), TOP + 12 + 14 * i, label, side))
    return _figure(title, shapes, f"{len(known):,} episodes", ())


def interval_chart(title: str, groups: Mapping[str, Mapping[str, Value]], *, names: Sequence[str]) -> str:
    """Draw rates between 0 and 1 as dots with their intervals: one block of rows per group, one row per name."""
    row, head, width = 18, 28, 760
    left = min(24 + LETTER * max((len(name) for name in names), default=0), width // 2)
    across = width - left - 70
    rows: list[Shape] = []
    y = 8.0
    for group, values in groups.items():
        rows.append(SvgText(0, y + 14, group, "start", strong=True))
        y += head
        for name, value in values.items():
            ink = colour(names.index(name))
            x0, x1, x = (left + across * share for share in (*value.ends, value.value))
            rows += [
                Line(left, y, left + across, y, "grid"),
                SvgText(left - 10, y + 4, name, "end"),
                Line(x0, y, x1, y, ink=ink, thick=3),
                Circle(x, y, 5, ink),
                SvgText(left + across + 14, y + 4, f"{100 * value.value:.0f} %", "start"),
            ]
            y += row
        y += 6
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    grid = [Line(left + across * t, 0, left + across * t, y, "grid") for t in ticks]
    labels = [SvgText(left + across * t, y + 14, f"{100 * t:.0f} %") for t in ticks]
    return Drawing(title, [*grid, *rows, *labels], int(y) + 22, width).figure


@dataclass(frozen=True)
class _AxisScale:
    """Numbers to pixels, downwards."""

    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, numbers: Sequence[float], log: bool) -> "_AxisScale":
        """Choose round ends around the numbers."""
        low, high = min(numbers), max(numbers)
        if log:
            return cls(low / 1.15, high * 1.15, True)
        ticks = round_ticks(low, high, 4)
        return cls(min(low, ticks[0]), max(high, ticks[-1]), False)

    def down(self, value: float) -> float:
        """Place a number."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / max(self.high - self.low, 1e-12)
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    def grid(self, whole: bool = False) -> list[Shape]:
        """Draw lines and labels at round numbers; at whole ones where they count something."""
        ticks = log_ticks(self.low, self.high) if self.log else round_ticks(self.low, self.high, 4)
        ticks = [t for t in ticks if t.is_integer()] if whole else ticks
        lines: list[Shape] = []
        for tick, label in zip(ticks, tick_labels(ticks), strict=True):
            y = self.down(tick)
            lines += [Line(LEFT, y, WIDTH - RIGHT, y, "grid"), SvgText(LEFT - 8, y + 4, label, "end")]
        return lines


def _below(ticks: Sequence[float], low: float, high: float, across: Callable[[float], float]) -> list[Shape]:
    """Label the axis below the frame, between its ends."""
    inside = [tick for tick in ticks if low <= tick <= high]
    return [
        SvgText(across(tick), HEIGHT - BOTTOM + 16, label)
        for tick, label in zip(inside, tick_labels(inside), strict=True)
    ]


def _figure(title: str, shapes: Sequence[Shape], remark: str, names: Sequence[str]) -> str:
    """Put title, unit, legend and drawing together; one series needs no legend."""
    return Drawing(title, shapes, HEIGHT, remark=remark, legend=names if len(names) > 1 else ()).figure
