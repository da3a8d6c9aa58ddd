"""The base of every model's settings."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

MOST_LAYERS: Final = 256
MOST_WIDTH: Final = 65_536
"""Channels of a layer, heads of an attention, numbers of a vector."""
MOST_ROWS: Final = 1 << 24
"""Rows of a table that is looked up: words, codes, datasets."""
MOST_STEPS: Final = 4_096
"""Frames, tokens or control steps read at once."""
MOST_PIXELS: Final = 4_096
"""Along one side of a picture."""
MOST_PATCHES: Final = 1 << 16
"""Of one picture."""


class Config(BaseModel):
    """Frozen settings that refuse unknown keys, infinities and NaN; attribute docstrings become the reference.

    Every number has bounds, far beyond any model that was ever trained: settings also come from files of others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay changes over settings: a nested field replaces that field alone, whatever the depth."""
    new = dict(base)
    for key, value in changes.items():
        inner = new.get(key)
        if isinstance(inner, BaseModel):
            inner = inner.model_dump()
        nested = isinstance(value, Mapping) and isinstance(inner, Mapping)
        new[key] = merged(inner, value) if nested else value  # type: ignore[arg-type]
    return new
