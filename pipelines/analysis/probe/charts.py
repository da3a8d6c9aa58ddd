"""Charts of a probe: errors beside their yardsticks, largest errors by bin, and changes seed by seed.

Each is a drawing with its own legend, for the page and as a file of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.html.charts import Value
from pipelines.html.drawing import CHART_WIDTH as WIDTH
from pipelines.html.drawing import Circle, Drawing, Line, Polyline, Rect, Shape, SvgText, Whisker, colour
from pipelines.html.ticks import round_ticks, short_number

PLOT = 200
LEFT, RIGHT, TOP, BOTTOM, ROW = 52, 12, 10, 38, 20
LETTER = 6.6
"""Pixels that a letter of a legend takes."""
INK = {"median": "var(--soft)", "true": "var(--ink)"}
BELOW_BINS = "largest error over steps and dimensions"


@dataclass(frozen=True)
class Bars:
    """Bars of one column, a variant each, and the two lines to compare them with."""

    values: Sequence[Value]
    seeds: Sequence[Sequence[float]]
    median: float
    true: float


@dataclass(frozen=True)
class ComparisonRow:
    """One line of a comparison."""

    name: str
    variant: int
    value: Value
    seeds: Sequence[float]
    remark: str


@dataclass
class _Plot:
    """A frame with an axis upwards, below a legend."""

    low: float
    high: float
    percent: bool
    keys: Sequence[tuple[str, str, bool]]
    """Name, colour, and whether it is a line."""
    shapes: list[Shape] = field(default_factory=list)
    top: float = TOP

    def __post_init__(self) -> None:
        """Draw the legend and the grid."""
        x = 8.0
        for name, ink, is_line in self.keys:
            long = 26 + LETTER * len(name)
            if x > 8 and x + long > WIDTH:
                x, self.top = 8.0, self.top + 17
            height = 3 if is_line else 11
            self.shapes.append(Rect(x, self.top + 5.5 - height / 2, 11, height, ink, rounded=1.5))
            self.shapes.append(SvgText(x + 16, self.top + 10, name, "start"))
            x += long
        self.top += 26
        marks = round_ticks(self.low, self.high, 4)
        self.low, self.high = min(self.low, marks[0]), max(self.high, marks[-1])
        for mark in marks:
            y, label = self.down(mark), f"{100 * mark:.4g} %" if self.percent else short_number(mark)
            self.shapes += [Line(LEFT, y, WIDTH - RIGHT, y, "grid"), SvgText(LEFT - 6, y + 4, label, "end")]

    @property
    def bottom(self) -> float:
        return self.top + PLOT

    def down(self, value: float) -> float:
        """Place a number."""
        share = (min(max(value, self.low), self.high) - self.low) / max(self.high - self.low, 1e-12)
        return self.top + PLOT * (1 - share)

    def label_bins(self, count: int, step: float, width: float) -> None:
        """Write where every fourth bin begins, below the frame."""
        self.shapes += [
            SvgText(LEFT + step * i, self.bottom + 16, short_number(round(i * width, 6))) for i in range(0, count, 4)
        ]

    def drawing(self, key: str, title: str, below: str, remark: str) -> Drawing:
        if below:
            self.shapes.append(SvgText(LEFT + (WIDTH - LEFT - RIGHT) / 2, self.bottom + 33, below))
        height = int(self.bottom + (BOTTOM if below else BOTTOM - 16))
        return Drawing(title, self.shapes, height, remark=remark, key=key)


def _keys(variants: Sequence[str], yardsticks: bool) -> list[tuple[str, str, bool]]:
    keys = [(name, colour(i), False) for i, name in enumerate(variants)]
    return keys + ([("median action", INK["median"], True), ("true change", INK["true"], True)] if yardsticks else [])


def error_chart(
    key: str, title: str, columns: Mapping[str, Bars], variants: Sequence[str], remark: str = ""
) -> Drawing:
    """Draw bars of errors with intervals and all seeds, and the two yardsticks as lines across each column."""
    numbers = [x for c in columns.values() for x in (c.median, c.true, *(v.ends[1] for v in c.values))]
    tallest = max(x for c in columns.values() for x in (c.median, c.true, *(s for seeds in c.seeds for s in seeds)))
    plot = _Plot(0.0, min(max(numbers), 1.5 * tallest), False, _keys(variants, True))
    step = (WIDTH - LEFT - RIGHT) / len(columns)
    bar = min(step * 0.78 / len(variants), 34.0)
    for i, (name, column) in enumerate(columns.items()):
        middle = LEFT + step * (i + 0.5)
        plot.shapes.append(SvgText(middle, plot.bottom + 16, name))
        for j, (value, seeds) in enumerate(zip(column.values, column.seeds, strict=True)):
            x, y = middle + bar * (j - len(variants) / 2), plot.down(value.value)
            tip, height = f"{variants[j]}: {value.value:.3f}", max(plot.bottom - y, 1)
            plot.shapes.append(Rect(x + 1, y, bar - 2, height, colour(j), tip, rounded=2, opacity=0.85))
            low, high = value.ends
            if high > low:
                plot.shapes.append(Whisker(x + bar / 2, plot.down(low), plot.down(high)))
            if len(seeds) > 1:
                plot.shapes += [Circle(x + bar * 0.76, plot.down(seed), 2, "var(--ink)") for seed in seeds]
        for height, ink, dash in ((column.median, INK["median"], "6 3"), (column.true, INK["true"], "2 2")):
            y = plot.down(height)
            plot.shapes.append(Line(middle - step * 0.45, y, middle + step * 0.45, y, ink=ink, dash=dash))
    return plot.drawing(key, title, "", remark)


def bins_chart(
    key: str,
    title: str,
    variants: Mapping[str, Sequence[float]],
    yardsticks: Sequence[Sequence[float]],
    width: float,
    remark: str = "",
) -> Drawing:
    """Draw shares of pairs by largest error as outlines; the bin of all that is beyond is left to the remark."""
    lines = [(shares, colour(i), 2.2, "none") for i, shares in enumerate(variants.values())]
    lines += [(s, ink, 1.6, dash) for s, ink, dash in zip(yardsticks, INK.values(), ("6 3", "2 2"), strict=True)]
    plot = _Plot(0.0, max(max(shares[:-1]) for shares, *_ in lines) or 1.0, True, _keys(list(variants), True))
    bins = len(lines[0][0]) - 1
    step = (WIDTH - LEFT - RIGHT) / bins
    for shares, ink, thick, dash in reversed(lines):
        tops = [(LEFT + step * (i + end), plot.down(s)) for i, s in enumerate(shares[:-1]) for end in (0, 1)]
        outline = [(LEFT, plot.bottom), *tops, (LEFT + step * bins, plot.bottom)]
        plot.shapes.append(Polyline(outline, ink, thick, dash))
    plot.label_bins(bins + 1, step, width)
    return plot.drawing(key, title, BELOW_BINS, remark)


def difference_chart(
    key: str, title: str, variants: Mapping[int, Sequence[float]], names: Sequence[str], width: float, remark: str = ""
) -> Drawing:
    """Draw by how much each bin is fuller than the first variant's; the last bin holds all that is beyond."""
    numbers = [x for shares in variants.values() for x in shares]
    keys = [(names[variant], colour(variant), False) for variant in variants]
    plot = _Plot(min(0.0, *numbers), max(0.01, *numbers), True, keys)
    bins = len(next(iter(variants.values())))
    step = (WIDTH - LEFT - RIGHT) / bins
    bar, zero = step * 0.86 / len(variants), plot.down(0.0)
    for j, (variant, shares) in enumerate(variants.items()):
        for i, share in enumerate(shares):
            y, x = plot.down(share), LEFT + step * (i + 0.07) + bar * j
            height = max(abs(zero - y), 0.4)
            plot.shapes.append(Rect(x, min(y, zero), bar, height, colour(variant), f"{100 * share:+.1f}"))
    plot.shapes.append(Line(LEFT, zero, WIDTH - RIGHT, zero, ink=INK["true"]))
    plot.label_bins(bins - 1, step, width)
    plot.shapes.append(SvgText(WIDTH - RIGHT - step / 2, plot.bottom + 16, "> 1"))
    return plot.drawing(key, title, BELOW_BINS, remark)


def change_chart(key: str, title: str, blocks: Mapping[str, Sequence[ComparisonRow]], remark: str = "") -> Drawing:
    """Draw relative changes: a dot for the mean, a line for its interval, a tick for each seed."""
    full = 760
    lines = [line for block in blocks.values() for line in block]
    left = 20 + LETTER * max(len(line.name) for line in lines)
    right = full - 24 - LETTER * max(len(line.remark) for line in lines)
    # The interval of few seeds may be many times as wide as they are: the axis shows the seeds.
    reach = [x for line in lines for x in (*line.seeds, *(min(max(e, -0.6), 0.6) for e in line.value.ends))]
    marks = round_ticks(min(0.0, *reach), max(0.0, *reach), 5)
    low, high = marks[0], marks[-1]

    def across(x: float) -> float:
        return left + (right - left) * (min(max(x, low), high) - low) / (high - low)

    shapes: list[Shape] = []
    y = 6.0
    for block, mine in blocks.items():
        if block:
            shapes.append(SvgText(0, y + 14, block, "start", strong=True))
            y += 26
        for line in mine:
            y += ROW / 2
            x0, x1, x = (across(end) for end in (*line.value.ends, line.value.value))
            ink = colour(line.variant)
            shapes.append(SvgText(left - 12, y + 4, line.name, "end"))
            shapes.append(Line(x0, y, x1, y, ink=ink, thick=3))
            shapes += [Line(across(seed), y - 6, across(seed), y + 6, ink=ink) for seed in line.seeds]
            shapes.append(Circle(x, y, 5, ink))
            shapes.append(SvgText(right + 16, y + 4, line.remark, "start"))
            y += ROW / 2 + 4
        y += 6
    grid: list[Shape] = []
    for mark in marks:
        ink, dash = ("var(--line)", "none") if mark else (INK["true"], "4 3")
        grid.append(Line(across(mark), 0, across(mark), y, ink=ink, dash=dash))
        grid.append(SvgText(across(mark), y + 14, f"{100 * mark:+.4g} %" if mark else "0"))
    return Drawing(title, [*grid, *shapes], int(y) + 22, full, remark, key)
