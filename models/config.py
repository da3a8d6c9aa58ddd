"""The base of every model's settings."""

import sys
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, ClassVar, Final, Union, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, create_model, model_validator
from pydantic_core import CoreSchema, core_schema

MOST_LAYERS: Final = 256
MOST_WIDTH: Final = 65_536
"""Channels of a layer, heads of an attention, numbers of a vector."""
MOST_ROWS: Final = 1 << 24
"""Rows of an embedding table: tokens, codes, datasets."""
MOST_STEPS: Final = 4_096
"""Frames, tokens or control steps of one input."""
MOST_PIXELS: Final = 4_096
"""Along one side of a picture."""
MOST_PATCHES: Final = 1 << 16
"""Of one picture."""


class Config(BaseModel):
    """Frozen settings that refuse unknown keys, infinities and NaN; attribute docstrings become the reference.

    Every number has bounds, far beyond any model that was ever trained: settings also come from files of others.
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
        """Give settings, nested ones too, their names of today, with a line for each former one.

        Raise ValueError where a setting is given by both names.
        """
        return _named_as_today(cls, given, say=True)

    @classmethod
    def saved_as_today(cls, saved: Any) -> Any:
        """Give settings that an older version saved as this one would have saved them; say nothing."""
        return _named_as_today(cls, saved, say=False)

    @classmethod
    def changed(cls, base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Lay changes over the settings of a preset, however deep."""
        return merged(base, changes)


def _named_as_today(config: type[Config], given: Any, say: bool) -> Any:
    if not isinstance(given, Mapping):
        return given
    today: dict[str, Any] = {}
    for key, value in given.items():
        new = config.renamed.get(key, key)
        if new != key and new in given:
            raise ValueError(f"setting '{key}' is now '{new}', and both are given; leave out '{key}'")
        if new != key and say:
            print(f"setting '{key}' is now '{new}'; the next version no longer knows '{key}'", file=sys.stderr)  # noqa: T201
        field = config.model_fields.get(new)
        inner = _nested(field.annotation) if field else None
        today[new] = _named_as_today(inner, value, say) if inner else value
    return today


def _nested(annotation: Any) -> type[Config] | None:
    """Find the settings that a setting holds, alone or beside None."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Config):
            return kind
    return None


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


@dataclass(frozen=True)
class ChangesTo:
    """Marks a dict of changes to a model's settings: each key must be a field of them and each value must suit it."""

    config: type[Config]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the dict as settings of which every field may be left out."""

        def given(changes: BaseModel) -> dict[str, Any]:
            return changes.model_dump(exclude_unset=True)

        as_it_is = core_schema.plain_serializer_function_ser_schema(lambda changes: changes)
        checked = core_schema.no_info_after_validator_function(given, handler(_all_optional(self.config)))
        return core_schema.no_info_before_validator_function(
            self.config.named_as_today, checked, serialization=as_it_is
        )


@cache
def _all_optional(config: type[BaseModel]) -> type[BaseModel]:
    """Copy settings field by field, without the rules between fields, and let every field be missing."""
    fields: dict[str, Any] = {}
    for name, info in config.model_fields.items():
        optional = copy(info)
        optional.annotation, optional.default, optional.default_factory = _loosened(info.annotation), None, None
        fields[name] = (optional.annotation, optional)
    rules = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    return create_model(config.__name__, __config__=rules, **fields)


def _loosened(annotation: Any) -> Any:
    """Let nested settings, alone or beside None, leave out any field too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _all_optional(annotation)
    if isinstance(annotation, UnionType):
        return Union[tuple(_loosened(inner) for inner in get_args(annotation))]  # noqa: UP007 - built while running
    return annotation
