"""Small charts as inline SVG: they scale, follow the page's colours, and need neither a library nor a network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike

COLOURS = 6
"""The page's style sheet names this many: --c0, --c1 ..."""

WIDTH, HEIGHT = 460, 250
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
    log = log and min(numbers) > 0
    scale = _Scale.over(numbers, log)
    last = max(x for line in series for x in line.x)
    first = min(x for line in series for x in line.x)
    width = WIDTH - LEFT - RIGHT

    def across(x: float) -> float:
        return LEFT + width * (x - first) / max(last - first, 1e-9)

    parts = [scale.grid()]
    ticks = [tick for tick in round_ticks(first, last, 5) if first <= tick <= last]
    parts += [words_at(across(tick), HEIGHT - BOTTOM + 16, short_number(tick)) for tick in ticks]
    for i, line in enumerate(series):
        points = " ".join(
            f"{across(x):.1f},{scale.down(y):.1f}" for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="var(--c{i % COLOURS})" stroke-width="2"/>')
    parts.append(words_at(LEFT + width / 2, HEIGHT - 6, x_label))
    legend = _legend([line.name for line in series]) if len(series) > 1 else ""
    return _figure(title, y_label, _svg("".join(parts), title), legend)


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
    scale = _Scale.over(
        [0.0, top if top is not None else max(ends), *([line_at] if line_at is not None else [])], False
    )
    step = (WIDTH - LEFT - RIGHT) / len(groups)
    bar = min(step * 0.8 / len(names), 34.0)
    parts = [scale.grid()]
    for i, (group, values) in enumerate(groups.items()):
        middle = LEFT + step * (i + 0.5)
        parts.append(words_at(middle, HEIGHT - BOTTOM + 16, group))
        for j, value in enumerate(values):
            if value is None:
                continue
            x = middle + bar * (j - len(names) / 2)
            y, zero = scale.down(value.value), scale.down(0.0)
            parts.append(
                f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{bar - 2:.1f}" height="{max(zero - y, 1):.1f}"'
                f' rx="2" fill="var(--c{j % COLOURS})"><title>{escape(names[j])}: {value.value:.3g}</title></rect>'
            )
            low, high = value.ends
            if high > low:
                parts.append(whisker(x + bar / 2, scale.down(low), scale.down(high)))
    if line_at is not None:
        y = scale.down(line_at)
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    return _figure(title, y_label, _svg("".join(parts), title), _legend(names) if len(names) > 1 else "")


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
    step = (high - low) * 1.04 / bins or 1.0
    first = low - 0.02 * (high - low)
    counts = np.bincount(np.clip((known - first) / step, 0, bins - 1).astype(int), minlength=bins).tolist()
    scale, width = _Scale(0.7, max(counts) * 1.2, True), (WIDTH - LEFT - RIGHT) / bins
    parts = [scale.grid()]
    for i, count in enumerate(counts):
        if count:
            y = scale.down(count)
            box = f'x="{LEFT + width * i:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"'
            parts.append(f'<rect {box} fill="var(--c0)"><title>{count}</title></rect>')

    def across(x: float) -> float:
        return LEFT + width * (x - first) / step

    parts += [
        words_at(across(x), HEIGHT - BOTTOM + 16, short_number(x))
        for x in round_ticks(low, high, 4)
        if low <= x <= high
    ]
    for i, (name, x) in enumerate(shown.items()):
        line = f'x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"'
        side = "start" if x < (low + high) / 2 else "end"
        label = words_at(
            across(x) + (5 if side == "start" else -5), TOP + 12 + 14 * i, f"{name} {short_number(x)}", side
        )
        parts.append(f'<line class="mark" {line}/>{label}')
    return _figure(title, f"{len(known):,} episodes", _svg("".join(parts), title), "")


def interval_chart(title: str, groups: Mapping[str, Mapping[str, Value]], *, names: Sequence[str]) -> str:
    """Draw rates between 0 and 1 as dots with their intervals: one block of rows per group, one row per name."""
    row, head, width = 18, 28, 760
    left = min(24 + LETTER * max((len(name) for name in names), default=0), width // 2)
    across = width - left - 70
    parts, y = [], 8.0
    for group, values in groups.items():
        parts.append(f'<text class="strong" x="0" y="{y + 14:.0f}">{escape(group)}</text>')
        y += head
        for name, value in values.items():
            colour = f"var(--c{names.index(name) % COLOURS})"
            low, high = value.ends
            x0, x1, x = (left + across * share for share in (low, high, value.value))
            parts.append(f'<line class="grid" x1="{left}" x2="{left + across}" y1="{y:.0f}" y2="{y:.0f}"/>')
            parts.append(words_at(left - 10, y + 4, name, "end"))
            parts.append(f'<line x1="{x0:.1f}" x2="{x1:.1f}" y1="{y:.0f}" y2="{y:.0f}" stroke="{colour}"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.0f}" r="5" fill="{colour}"/>')
            parts.append(words_at(left + across + 14, y + 4, f"{100 * value.value:.0f} %", "start"))
            y += row
        y += 6
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    grid = [
        f'<line class="grid" x1="{left + across * t:.1f}" x2="{left + across * t:.1f}" y1="0" y2="{y:.0f}"/>'
        for t in ticks
    ]
    labels = [words_at(left + across * t, y + 14, f"{100 * t:.0f} %") for t in ticks]
    return _figure(title, "", _svg("".join([*grid, *parts, *labels]), title, width, int(y) + 22, "wide"), "")


@dataclass(frozen=True)
class _Scale:
    """Numbers to pixels, downwards."""

    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, numbers: Sequence[float], log: bool) -> "_Scale":
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

    def grid(self) -> str:
        """Draw lines and labels at round numbers."""
        ticks = _log_ticks(self.low, self.high) if self.log else round_ticks(self.low, self.high, 4)
        return "".join(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.down(t):.1f}" y2="{self.down(t):.1f}"/>'
            + words_at(LEFT - 8, self.down(t) + 4, short_number(t), "end")
            for t in ticks
        )


def round_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m * count >= span * 0.999)
    start, stop = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 12) for i in range(start, stop + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within the range; fewer when it is long."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**p for p in powers for m in ((1,) if len(powers) > 4 else (1, 2, 5))]
    return [t for t in ticks if low <= t <= high]


def short_number(value: float) -> str:
    """Print an axis label."""
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:.4g}"


def words_at(x: float, y: float, words: str, anchor: str = "middle") -> str:
    """Write into a drawing."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def whisker(x: float, low: float, high: float) -> str:
    """Draw an error bar."""
    return f'<path class="whisker" d="M{x - 4:.1f} {low:.1f}h8m-4 0V{high:.1f}m-4 0h8"/>'


def _legend(names: Sequence[str]) -> str:
    """Name the colours."""
    keys = [f'<span><i style="background:var(--c{i % COLOURS})"></i>{escape(n)}</span>' for i, n in enumerate(names)]
    return f'<div class="legend">{"".join(keys)}</div>'


def _svg(content: str, title: str, width: int = WIDTH, height: int = HEIGHT, kind: str = "chart") -> str:
    label = escape(title, quote=True)
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{content}</svg>'


def _figure(title: str, y_label: str, svg: str, legend: str) -> str:
    """Put title, unit, legend and drawing together."""
    unit = f" <small>{escape(y_label)}</small>" if y_label else ""
    return f"<figure><figcaption><b>{escape(title)}</b>{unit}</figcaption>{legend}{svg}</figure>"
