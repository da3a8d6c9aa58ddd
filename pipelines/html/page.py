"""One self-contained HTML page: no script, no network."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.html.templates import macros


@dataclass(frozen=True)
class Section:
    """One heading and the HTML below it; without any it says that there is nothing."""

    key: str
    """Anchor in the page."""
    title: str
    body: str


def page(title: str, lead: str, top: str, sections: Sequence[Section], foot: str) -> str:
    """Put a whole page together; `top` and bodies of sections are HTML that templates gave, all else is escaped."""
    return macros("html/page.html").page(title, lead, top, sections, foot).lstrip()


def cards(figures: Sequence[tuple[object, str, str]]) -> str:
    """Show the few numbers that matter: value, what it counts, a remark."""
    return macros("html/blocks.html").cards(figures)


def note(text: str, items: Sequence[str] = (), *, limits: bool = False) -> str:
    """Remark on something, or say what the numbers do not show."""
    return macros("html/blocks.html").note(text, items, limits)


def remarked(value: object, beside: str = "", below: str = "") -> str:
    """Return a cell with small words beside its value, and below it."""
    return macros("html/blocks.html").remarked(value, beside, below)


def meter(share: float) -> str:
    """Return a cell with a bar; a share beyond 0 to 1 is drawn as the nearer of them."""
    return macros("html/blocks.html").meter(min(max(share, 0.0), 1.0))
