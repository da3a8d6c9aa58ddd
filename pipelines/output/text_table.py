"""Rows as aligned columns of plain text, for reports on a terminal."""

import textwrap
from collections.abc import Mapping, Sequence

LINE = 110
"""Letters of a line of prose."""
LABEL = 15
"""Letters of the column of labels."""


def text_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Align columns; numbers go to the right, words to the left."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *cells]) for i in range(len(head))]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in columns).rstrip()
        for columns in (zip(row, widths, right, strict=True) for row in [list(head), *cells])
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def labelled(facts: Mapping[str, Sequence[str]]) -> str:
    """Set labels beside their paragraphs, each wrapped, with its further lines set in; a long word stays whole."""
    lines = []
    for name, paragraphs in facts.items():
        prose = textwrap.TextWrapper(LINE - LABEL, subsequent_indent="  ", break_long_words=False)
        prose.break_on_hyphens = False
        wrapped = [line for paragraph in paragraphs for line in prose.wrap(paragraph) or [""]]
        lines += [f"{label:{LABEL}}{line}" for label, line in zip([name, *[""] * len(wrapped)], wrapped, strict=False)]
    return "\n".join(lines)


def _text(cell: object) -> str:
    """Print a number so that a person can read it."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if 10_000 <= abs(cell) < 1e9 else f"{cell:.4g}"  # 28,320 epochs, and not 2.832e+04
    return str(cell).replace("\n", "\\n")


def counted(count: int, noun: str) -> str:
    """Print a number of things: `1 clip`, `1,200 clips`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def human_bytes(count: int) -> str:
    """Print a number of bytes with three digits and a unit."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"


def human_seconds(seconds: float) -> str:
    """Print a duration with two digits or so and a unit."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s" if seconds < 99.5 else f"{seconds:.0f} s"
