"""Shares as shades: heat maps as inline SVG, in the page's colours."""

from collections.abc import Mapping, Sequence
from html import escape

from pipelines.html.page import Html

WIDTH, ROW, HEAD, LETTER = 760, 20, 30, 7
NUMBERS_UP_TO = 12
"""Columns up to which a cell shows its number."""


def heat_map(
    title: str, blocks: Mapping[str, Mapping[str, Sequence[float | None]]], columns: Sequence[str], *, top: float
) -> Html:
    """Draw a row of cells per name, in blocks, the darker the nearer to `top`; None leaves a cell empty."""
    names = [name for rows in blocks.values() for name in rows]
    if not names or not columns:
        return Html("")
    left = min(16 + LETTER * max(len(name) for name in names), WIDTH // 2)
    cell = (WIDTH - left) / len(columns)
    parts, y = [], 4.0
    for block, rows in blocks.items():
        if block:
            parts.append(f'<text class="strong" x="0" y="{y + 14:.0f}">{escape(block)}</text>')
            y += HEAD - 8
        for name, values in rows.items():
            parts.append(f'<text x="{left - 8}" y="{y + 14:.0f}" text-anchor="end">{escape(name)}</text>')
            for i, value in enumerate(values):
                if value is not None:
                    parts.append(_cell(left + cell * i, y, cell, value, top, f"{name}, {columns[i]}", len(columns)))
            y += ROW
        y += 8
    step = max(1, -(-len(columns) // 32))
    parts += [
        f'<text x="{left + cell * (i + 0.5):.1f}" y="{y + 8:.0f}" text-anchor="middle">{escape(columns[i])}</text>'
        for i in range(0, len(columns), step)
    ]
    label = escape(title, quote=True)
    svg = f'<svg viewBox="0 0 {WIDTH} {int(y) + 14}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return Html(f"<figure><figcaption><b>{escape(title)}</b></figcaption>{svg}</figure>")


def _cell(x: float, y: float, width: float, value: float, top: float, name: str, num_columns: int) -> str:
    darkest = 0.9 if num_columns > NUMBERS_UP_TO else 0.4  # a number is to be read on it
    share = min(max(value / top if top > 0 else 0.0, 0.0), 1.0)
    box = (
        f'<rect x="{x + 0.5:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{ROW - 1}" fill="var(--c0)"'
        f' fill-opacity="{0.04 + darkest * share:.3f}"><title>{escape(name)}: {value:.3g}</title></rect>'
    )
    if num_columns > NUMBERS_UP_TO:
        return box
    return box + f'<text x="{x + width / 2:.1f}" y="{y + 14:.0f}" text-anchor="middle">{value:.2f}</text>'
