"""Shapes of a drawing and where they lie, in pixels; `drawing.svg` writes them down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipelines.html.templates import macros

COLOURS = 6
"""The page's style sheet names this many: --c0, --c1 ..."""
CHART_WIDTH = 460
"""Of a chart that shares its row with another; wider ones have a row of their own."""


@dataclass(frozen=True)
class Rect:
    """A bar or a cell; `tip` shows where the mouse rests."""

    kind: ClassVar[str] = "rect"
    x: float
    y: float
    width: float
    height: float
    fill: str
    tip: str = ""
    rounded: float = 0.0
    opacity: float = 1.0


@dataclass(frozen=True)
class Line:
    """A line of the style sheet's class `look` or, without one, of its own ink."""

    kind: ClassVar[str] = "line"
    x1: float
    y1: float
    x2: float
    y2: float
    look: str = ""
    ink: str = "var(--line)"
    thick: float = 1.5
    dash: str = "none"


@dataclass(frozen=True)
class Polyline:
    """A curve through points (x, y)."""

    kind: ClassVar[str] = "polyline"
    points: Sequence[tuple[float, float]]
    ink: str
    thick: float = 2.0
    dash: str = "none"


@dataclass(frozen=True)
class Whisker:
    """An error bar."""

    kind: ClassVar[str] = "whisker"
    x: float
    low: float
    high: float


@dataclass(frozen=True)
class Circle:
    """A dot."""

    kind: ClassVar[str] = "circle"
    x: float
    y: float
    radius: float
    fill: str


@dataclass(frozen=True)
class SvgText:
    """Words; `anchor` says which end of them lies at x: start, middle or end."""

    kind: ClassVar[str] = "text"
    x: float
    y: float
    text: str
    anchor: str = "middle"
    strong: bool = False


Shape = Rect | Line | Polyline | Whisker | Circle | SvgText


@dataclass(frozen=True)
class Drawing:
    """A chart with its title, for a page (in the page's colours) and as a file of its own."""

    title: str
    shapes: Sequence[Shape]
    height: int
    width: int = CHART_WIDTH
    remark: str = ""
    """What stands small beside the title, such as a unit."""
    key: str = ""
    """Name of its file."""
    legend: Sequence[str] = ()
    """Names of the colours, in their order."""

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Colour and name of each series of the legend."""
        return [(colour(i), name) for i, name in enumerate(self.legend)]

    @property
    def shares_row(self) -> bool:
        """Whether it is narrow enough to stand beside another."""
        return self.width <= CHART_WIDTH

    @property
    def figure(self) -> str:
        """Put it into a page."""
        return macros("html/drawing.svg").figure(self)

    @property
    def file(self) -> str:
        """Make a file of it, with its title."""
        return macros("html/drawing.svg").file(self)


def colour(index: int) -> str:
    """Colour of a series, the same in every chart."""
    return f"var(--c{index % COLOURS})"
