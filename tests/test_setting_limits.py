"""Every number that a setting takes has bounds, and none may be infinite: a slip of the keyboard is one line."""

import importlib
import math
import pkgutil
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

import dataengine
import models
import pipelines
from dataengine.config import Config as DataConfig
from models.config import Config as ModelConfig
from pipelines.ingest.config import IngestConfig
from pipelines.training.settings import LoopConfig

ANY_INTEGER: dict[str, str] = {
    "MappedColumns.columns": "positions in a vector, checked against its width when the mapping meets the data",
}
"""Numbers without bounds of their own, and why."""


def all_configs() -> list[type[BaseModel]]:
    """Find every class of settings, by importing every module that may hold one."""
    for package in (dataengine, models, pipelines):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                importlib.import_module(module.name)
            except ImportError as error:  # a simulator that is not installed
                assert module.name.startswith("pipelines.evaluation.simulators"), error
    waiting: list[type[BaseModel]] = [DataConfig, ModelConfig]
    configs = []
    while waiting:
        config = waiting.pop()
        waiting += config.__subclasses__()
        if config.__module__.partition(".")[0] in ("dataengine", "models", "pipelines"):
            configs.append(config)
    # A class with an underscore is filled by our own code, out of settings that were checked.
    return [config for config in configs if not config.__name__.startswith("_")]


def numbers(kind: Any, limits: tuple[Any, ...]) -> Iterator[tuple[type, tuple[Any, ...]]]:
    """List the numbers in a type, each with what bounds it."""
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        constraints = [c for one in more for c in (one.metadata if isinstance(one, FieldInfo) else [one])]
        yield from numbers(inner, (*limits, *constraints))
    elif kind in (int, float):
        yield kind, limits
    elif get_origin(kind) in (Union, UnionType):
        for inner in get_args(kind):
            yield from numbers(inner, limits)
    elif get_origin(kind) is not Literal:
        for inner in get_args(kind):
            yield from numbers(inner, ())


def test_every_number_has_bounds_on_both_sides() -> None:
    loose = []
    for config in all_configs():
        for name, field in config.model_fields.items():
            for kind, limits in numbers(field.annotation, tuple(field.metadata)):
                low = [value for c in limits for key in ("ge", "gt") if (value := getattr(c, key, None)) is not None]
                high = [value for c in limits for key in ("le", "lt") if (value := getattr(c, key, None)) is not None]
                finite = all(math.isfinite(value) for value in (*low, *high))
                if not (low and high and finite) and f"{config.__name__}.{name}" not in ANY_INTEGER:
                    loose.append(f"{config.__module__}.{config.__name__}.{name}: {kind.__name__}")
    assert not loose, loose


def test_no_setting_takes_infinity_or_nan() -> None:
    for config in all_configs():
        assert config.model_config.get("allow_inf_nan") is False, config


def test_every_default_lies_within_its_bounds() -> None:
    for config in all_configs():
        for name, field in config.model_fields.items():
            if not field.is_required() and not isinstance(field.default, BaseModel):
                default = field.get_default(call_default_factory=True)
                (
                    TypeAdapter(
                        Annotated[field.annotation, field] if field.metadata else field.annotation
                    ).validate_python(default),
                    name,
                )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stall_s", 1e300),
        ("stall_s", float("inf")),
        ("frame_size", 999_999_999_999),
        ("frame_hz", 1e12),
        ("frame_hz", float("nan")),
        ("workers", 10**9),
        ("max_attempts", 10**9),
    ],
)
def test_an_ingest_is_not_asked_for_the_impossible(key: str, value: float) -> None:
    with pytest.raises(ValidationError):
        IngestConfig(source="libero", root=".", corpus="c", **{key: value})


@pytest.mark.parametrize(
    ("key", "value"), [("seed", -1), ("seed", 1 << 64), ("lr", float("inf")), ("betas", (0.9, 1.0))]
)
def test_a_training_is_not_asked_for_the_impossible(key: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        LoopConfig(**{key: value})
