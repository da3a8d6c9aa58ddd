"""Templates of pages and drawings: they hold all markup and all prose, Python holds the figures.

A template is a file beside the code that fills it in, and a set of macros. What comes in is escaped.
"""

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@cache
def macros(template: str) -> Any:
    """Return the macros of a template as functions; `template` is its path below `pipelines`."""
    return _environment().get_template(template).module


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        cell=cell, numeric_columns=numeric_columns, data_uri=data_uri, breakable=breakable, px=px
    )
    return environment


def cell(value: object) -> object:
    """Print numbers with separators and few digits."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else value


def numeric_columns(rows: Sequence[Sequence[object]], count: int) -> list[bool]:
    """Tell which of `count` columns hold numbers alone: they stand to the right."""
    columns = [[row[i] for row in rows if row[i] != ""] for i in range(count)]
    return [bool(cells) and all(isinstance(each, int | float) for each in cells) for cells in columns]


def data_uri(file: Path) -> str:
    """Return a PNG or JPEG as an address that holds it; empty where there is none."""
    media_type = MEDIA_TYPES.get(file.suffix.lower())
    if media_type is None or not file.is_file():
        return ""
    return f"data:{media_type};base64,{base64.b64encode(file.read_bytes()).decode()}"


def breakable(name: str) -> Markup:
    """Let a long name go on in the next line, where its words end."""
    return Markup(str(escape(name)).replace("/", "/<wbr>").replace("_", "_<wbr>"))


def px(value: float) -> str:
    """Print a length in pixels."""
    return f"{value:.1f}"
