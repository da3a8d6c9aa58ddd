"""The base of every setting in the data engine and the pipelines."""

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

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

    renamed: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Former names of settings and their names today: the former are accepted for one version, with a line."""

    @model_validator(mode="before")
    @classmethod
    def _take_former_names(cls, given: Any) -> Any:
        return cls.named_as_today(given)

    @classmethod
    def named_as_today(cls, given: Any) -> Any:
        """Give settings their names of today; refuse a setting that is given by both."""
        if not isinstance(given, dict):
            return given
        for old in cls.renamed.keys() & given.keys():
            new = cls.renamed[old]
            if new in given:
                raise ValueError(f"setting '{old}' is now '{new}', and both are given; leave out '{old}'")
            print(f"setting '{old}' is now '{new}'; the next version no longer knows '{old}'", file=sys.stderr)  # noqa: T201
        return {cls.renamed.get(key, key): value for key, value in given.items()}

    @classmethod
    def preset_defaults(cls) -> Mapping[str, Mapping[str, Any]]:
        """Give the defaults of each preset, the smallest first; keys of nested settings have dots."""
        return {}

    @classmethod
    def decided_by_data(cls) -> frozenset[str]:
        """Name the settings that the data decide unless they are given."""
        return frozenset()
