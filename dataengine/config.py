"""The base of every setting in the data engine and the pipelines."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

MOST_WORKERS: Final = 4_096
"""Processes or threads side by side."""
MOST: Final = 1_000_000_000
"""Of anything that is counted: steps, windows, episodes."""
MOST_SIDE: Final = 4_096
"""Pixels along one side of a stored frame."""
MOST_HZ: Final = 1_000.0
DAY_S: Final = 86_400.0

Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
"""What numpy and torch both take."""


class Config(BaseModel):
    """Frozen settings that refuse unknown keys, infinities and NaN; attribute docstrings become the reference.

    Every number has bounds: a slip of the keyboard is then one line, and no night without a result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
