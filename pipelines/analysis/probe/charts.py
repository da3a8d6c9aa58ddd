"""Charts of a probe: errors beside their yardsticks, largest errors by bin, and changes seed by seed.

Each is an SVG with its own legend, for the page (in the page's colours) and as a file of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from pipelines.html.charts import COLOURS, Value, round_ticks, short_number, whisker, words_at
from pipelines.html.page import Html

WIDTH, PLOT = 460, 200
LEFT, RIGHT, TOP, BOTTOM, ROW = 52, 12, 10, 38, 20
LETTER = 6.6
"""Pixels that a letter of a legend takes."""
INK = {"median": "var(--soft)", "true": "var(--ink)"}
ALONE = (
    "svg{--ink:#1c1e21;--soft:#5f6672;--line:#e3e4e8;--c0:#1f5fd0;--c1:#d9730d;--c2:#2a8a57;--c3:#8250c4;--c4:#7a808c;"
    "--c5:#c2413b;background:#fff;font-family:system-ui,sans-serif}text{font-size:12px;fill:var(--soft)}"
    "text.strong{font-size:14px;font-weight:600;fill:var(--ink)}.grid{stroke:var(--line)}"
    ".whisker{stroke:var(--ink);stroke-width:1.4;fill:none}"
)
"""Colours of the page on white, for a file that stands alone."""


@dataclass(frozen=True)
class Drawing:
    """One chart."""

    key: str
    """Name of its file."""
    title: str
    content: str
    height: int
    remark: str = ""
    width: int = WIDTH

    @property
    def figure(self) -> Html:
        """Put it into a page."""
        small = f" <small>{escape(self.remark)}</small>" if self.remark else ""
        kind = "chart" if self.width == WIDTH else "full"
        return Html(f"<figure><figcaption><b>{escape(self.title)}</b>{small}</figcaption>{self._svg(kind)}</figure>")

    @property
    def file(self) -> str:
        """Make a file of it, with its title."""
        head = f'<text class="strong" x="8" y="-28">{escape(self.title)}</text>'
        head += f'<text x="8" y="-10">{escape(self.remark)}</text>'
        size = f'xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height + 48}"'
        view = f'viewBox="0 -48 {self.width} {self.height + 48}"'
        return f"<svg {size} {view}><style>{ALONE}</style>{head}{self.content}</svg>\n"

    def _svg(self, kind: str) -> str:
        label = escape(self.title, quote=True)
        view = f'viewBox="0 0 {self.width} {self.height}"'
        return f'<svg class="{kind}" {view} role="img" aria-label="{label}">{self.content}</svg>'


@dataclass(frozen=True)
class Bars:
    """Bars of one column, an arm each, and the two lines to compare them with."""

    values: Sequence[Value]
    seeds: Sequence[Sequence[float]]
    median: float
    true: float


@dataclass(frozen=True)
class Change:
    """One line of a comparison."""

    name: str
    arm: int
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
    parts: list[str] = field(default_factory=list)
    top: float = TOP

    def __post_init__(self) -> None:
        """Draw the legend and the grid."""
        x = 8.0
        for name, colour, is_line in self.keys:
            long = 26 + LETTER * len(name)
            if x > 8 and x + long > WIDTH:
                x, self.top = 8.0, self.top + 17
            height = 3 if is_line else 11
            box = f'x="{x:.0f}" y="{self.top + 5.5 - height / 2:.1f}" width="11" height="{height}"'
            self.parts.append(
                f'<rect {box} rx="1.5" fill="{colour}"/>' + words_at(x + 16, self.top + 10, name, "start")
            )
            x += long
        self.top += 26
        marks = round_ticks(self.low, self.high, 4)
        self.low, self.high = min(self.low, marks[0]), max(self.high, marks[-1])
        for mark in marks:
            y, words = self.down(mark), f"{100 * mark:.4g} %" if self.percent else short_number(mark)
            self.parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            self.parts.append(words_at(LEFT - 6, y + 4, words, "end"))

    @property
    def bottom(self) -> float:
        return self.top + PLOT

    def down(self, value: float) -> float:
        """Place a number."""
        share = (min(max(value, self.low), self.high) - self.low) / max(self.high - self.low, 1e-12)
        return self.top + PLOT * (1 - share)

    def drawing(self, key: str, title: str, below: str, remark: str) -> Drawing:
        if below:
            self.parts.append(words_at(LEFT + (WIDTH - LEFT - RIGHT) / 2, self.bottom + 33, below))
        return Drawing(key, title, "".join(self.parts), int(self.bottom + (BOTTOM if below else BOTTOM - 16)), remark)


def colour(arm: int) -> str:
    """Colour of an arm, the same in every chart."""
    return f"var(--c{arm % COLOURS})"


def _keys(arms: Sequence[str], yardsticks: bool) -> list[tuple[str, str, bool]]:
    keys = [(name, colour(i), False) for i, name in enumerate(arms)]
    return keys + ([("median action", INK["median"], True), ("true change", INK["true"], True)] if yardsticks else [])


def error_chart(key: str, title: str, columns: Mapping[str, Bars], arms: Sequence[str], remark: str = "") -> Drawing:
    """Draw bars of errors with intervals and all seeds, and the two yardsticks as lines across each column."""
    numbers = [x for c in columns.values() for x in (c.median, c.true, *(v.ends[1] for v in c.values))]
    tallest = max(x for c in columns.values() for x in (c.median, c.true, *(s for seeds in c.seeds for s in seeds)))
    plot = _Plot(0.0, min(max(numbers), 1.5 * tallest), False, _keys(arms, True))
    step = (WIDTH - LEFT - RIGHT) / len(columns)
    bar = min(step * 0.78 / len(arms), 34.0)
    for i, (name, column) in enumerate(columns.items()):
        middle = LEFT + step * (i + 0.5)
        plot.parts.append(words_at(middle, plot.bottom + 16, name))
        for j, (value, seeds) in enumerate(zip(column.values, column.seeds, strict=True)):
            x, y = middle + bar * (j - len(arms) / 2), plot.down(value.value)
            box = f'x="{x + 1:.1f}" y="{y:.1f}" width="{bar - 2:.1f}" height="{max(plot.bottom - y, 1):.1f}"'
            tip = f"<title>{escape(arms[j])}: {value.value:.3f}</title>"
            plot.parts.append(f'<rect {box} rx="2" fill="{colour(j)}" fill-opacity=".85">{tip}</rect>')
            low, high = value.ends
            if high > low:
                plot.parts.append(whisker(x + bar / 2, plot.down(low), plot.down(high)))
            plot.parts += [
                f'<circle cx="{x + bar * 0.76:.1f}" cy="{plot.down(seed):.1f}" r="2" fill="var(--ink)"/>'
                for seed in (seeds if len(seeds) > 1 else ())
            ]
        for height, ink, dash in ((column.median, INK["median"], "6 3"), (column.true, INK["true"], "2 2")):
            y = plot.down(height)
            plot.parts.append(_line(middle - step * 0.45, y, middle + step * 0.45, y, ink, dash))
    return plot.drawing(key, title, "", remark)


def bins_chart(
    key: str,
    title: str,
    arms: Mapping[str, Sequence[float]],
    yardsticks: Sequence[Sequence[float]],
    width: float,
    remark: str = "",
) -> Drawing:
    """Draw shares of pairs by largest error as outlines; the bin of all that is beyond is left to the remark."""
    lines = [(shares, colour(i), 2.2, "") for i, shares in enumerate(arms.values())]
    lines += [(s, ink, 1.6, dash) for s, ink, dash in zip(yardsticks, INK.values(), ("6 3", "2 2"), strict=True)]
    plot = _Plot(0.0, max(max(shares[:-1]) for shares, *_ in lines) or 1.0, True, _keys(list(arms), True))
    bins = len(lines[0][0]) - 1
    step = (WIDTH - LEFT - RIGHT) / bins
    for shares, ink, thick, dash in reversed(lines):
        path = f"M{LEFT} {plot.bottom:.1f}" + "".join(f"V{plot.down(s):.1f}h{step:.2f}" for s in shares[:-1])
        style = f'stroke="{ink}" stroke-width="{thick}" stroke-dasharray="{dash}" fill="none"'
        plot.parts.append(f'<path d="{path}V{plot.bottom:.1f}" {style} stroke-linejoin="round"/>')
    for i in range(0, bins + 1, 4):
        plot.parts.append(words_at(LEFT + step * i, plot.bottom + 16, short_number(round(i * width, 6))))
    return plot.drawing(key, title, "largest error over steps and dimensions", remark)


def difference_chart(
    key: str, title: str, arms: Mapping[int, Sequence[float]], names: Sequence[str], width: float, remark: str = ""
) -> Drawing:
    """Draw by how much each bin is fuller than the first arm's; the last bin holds all that is beyond."""
    numbers = [x for shares in arms.values() for x in shares]
    keys = [(names[arm], colour(arm), False) for arm in arms]
    plot = _Plot(min(0.0, *numbers), max(0.01, *numbers), True, keys)
    bins = len(next(iter(arms.values())))
    step = (WIDTH - LEFT - RIGHT) / bins
    bar, zero = step * 0.86 / len(arms), plot.down(0.0)
    for j, (arm, shares) in enumerate(arms.items()):
        for i, share in enumerate(shares):
            y = plot.down(share)
            x = LEFT + step * (i + 0.07) + bar * j
            box = f'x="{x:.1f}" y="{min(y, zero):.1f}" width="{bar:.1f}" height="{max(abs(zero - y), 0.4):.1f}"'
            plot.parts.append(f'<rect {box} fill="{colour(arm)}"><title>{100 * share:+.1f}</title></rect>')
    plot.parts.append(_line(LEFT, zero, WIDTH - RIGHT, zero, INK["true"], ""))
    for i in range(0, bins - 1, 4):
        plot.parts.append(words_at(LEFT + step * i, plot.bottom + 16, short_number(round(i * width, 6))))
    plot.parts.append(words_at(WIDTH - RIGHT - step / 2, plot.bottom + 16, "> 1"))
    return plot.drawing(key, title, "largest error over steps and dimensions", remark)


def change_chart(key: str, title: str, blocks: Mapping[str, Sequence[Change]], remark: str = "") -> Drawing:
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

    parts, y = [], 6.0
    for block, mine in blocks.items():
        if block:
            parts.append(f'<text class="strong" x="0" y="{y + 14:.0f}">{escape(block)}</text>')
            y += 26
        for line in mine:
            y += ROW / 2
            ink = colour(line.arm)
            parts.append(words_at(left - 12, y + 4, line.name, "end"))
            parts.append(_line(*(across(line.value.ends[0]), y), across(line.value.ends[1]), y, ink, "", 3))
            parts += [_line(across(s), y - 6, across(s), y + 6, ink, "", 1.5) for s in line.seeds]
            parts.append(f'<circle cx="{across(line.value.value):.1f}" cy="{y:.1f}" r="5" fill="{ink}"/>')
            parts.append(words_at(right + 16, y + 4, line.remark, "start"))
            y += ROW / 2 + 4
        y += 6
    grid = [_line(across(m), 0, across(m), y, "var(--line)" if m else INK["true"], "" if m else "4 3") for m in marks]
    grid += [words_at(across(m), y + 14, f"{100 * m:+.4g} %" if m else "0") for m in marks]
    return Drawing(key, title, "".join([*grid, *parts]), int(y) + 22, remark, full)


def _line(x1: float, y1: float, x2: float, y2: float, ink: str, dash: str, thick: float = 1.5) -> str:
    style = f"stroke:{ink};stroke-width:{thick};stroke-dasharray:{dash or 'none'};stroke-linecap:butt"
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="{style}"/>'
