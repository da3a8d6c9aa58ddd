"""Shares as shades: heat maps in the page's colours."""

from collections.abc import Mapping, Sequence

from pipelines.html.drawing import Drawing, Rect, Shape, SvgText

WIDTH, ROW, HEAD, LETTER = 760, 20, 30, 7
NUMBERS_UP_TO = 12
"""Columns up to which a cell shows its number."""


def heat_map(
    title: str, blocks: Mapping[str, Mapping[str, Sequence[float | None]]], columns: Sequence[str], *, top: float
) -> str:
    """Draw a row of cells per name, in blocks, the darker the nearer to `top`; None leaves a cell empty."""
    names = [name for rows in blocks.values() for name in rows]
    if not names or not columns:
        return ""
    left = min(16 + LETTER * max(len(name) for name in names), WIDTH // 2)
    cell = (WIDTH - left) / len(columns)
    shapes: list[Shape] = []
    y = 4.0
    for block, rows in blocks.items():
        if block:
            shapes.append(SvgText(0, y + 14, block, "start", strong=True))
            y += HEAD - 8
        for name, values in rows.items():
            shapes.append(SvgText(left - 8, y + 14, name, "end"))
            for i, value in enumerate(values):
                if value is not None:
                    shapes += _cell(left + cell * i, y, cell, value, top, f"{name}, {columns[i]}", len(columns))
            y += ROW
        y += 8
    step = max(1, -(-len(columns) // 32))
    shapes += [SvgText(left + cell * (i + 0.5), y + 8, columns[i]) for i in range(0, len(columns), step)]
    return Drawing(title, shapes, int(y) + 14, WIDTH).figure


def _cell(x: float, y: float, width: float, value: float, top: float, name: str, num_columns: int) -> list[Shape]:
    darkest = 0.9 if num_columns > NUMBERS_UP_TO else 0.4  # a number is to be read on it
    share = min(max(value / top if top > 0 else 0.0, 0.0), 1.0)
    box = Rect(x + 0.5, y, width - 1, ROW - 1, "var(--c0)", f"{name}: {value:.3g}", opacity=0.04 + darkest * share)
    return [box] if num_columns > NUMBERS_UP_TO else [box, SvgText(x + width / 2, y + 14, f"{value:.2f}")]
