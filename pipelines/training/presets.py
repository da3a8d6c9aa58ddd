"""What each preset trains, and how, where nobody says otherwise: the one place for sizes, learning rates and lengths.

A preset is a YAML file of settings, `model` among them: `train_lam_tiny.yaml` of `pipelines/recipes`, or the user's
own, in which `preset` may name another to begin from.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dataengine.errors import DataEngineError
from models.config import Config, merged
from pipelines.recipes import recipes

M = TypeVar("M", bound=Config)

BASE = "preset"
"""Key of a preset that names another one, which it changes."""


def names(kind: str) -> list[str]:
    """List the presets that ship, the smallest first."""
    return sorted(recipes.names(kind), key=lambda name: load(kind, name)["steps"])


def load(kind: str, name: str, as_today: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> dict[str, Any]:
    """Read a preset by its name or file, laid over the one that it begins from; raise DataEngineError without one.

    `as_today` gives the settings of each file their names of today.
    """
    settings: dict[str, Any] = {}
    for _, one in _chain(kind, name):
        settings = merged(as_today(one), settings)
    return settings


def lineage(kind: str, name: str) -> list[str]:
    """Name a preset and those that it begins from, one after the other; raise DataEngineError without one."""
    return [each for each, _ in _chain(kind, name)]


def _chain(kind: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a preset and those that it begins from, without the key that says which."""
    chain: list[str] = []
    following: Any = name
    while following is not None:
        if not isinstance(following, str) or following in chain:
            raise DataEngineError(f"preset {chain[-1]}: key preset is {following!r}, expected another preset's name")
        chain.append(following)
        one = recipes.load(kind, following)
        if one.get("model") is not None and not isinstance(one["model"], Mapping):
            raise DataEngineError(f"preset {following}: key model is {one['model']!r:.80}, expected a model's settings")
        base = one.pop(BASE, None)
        yield following, one
        following = base


def model(kind: str, name: str, config: type[Config] = Config) -> dict[str, Any]:
    """Give the model's settings of a preset, those that differ from the defaults, by the names that `config` has."""

    def as_today(one: dict[str, Any]) -> dict[str, Any]:
        return {"model": config.saved_as_today(one.get("model") or {})}

    return load(kind, name, as_today)["model"]


def shape(config: type[M], kind: str, name: str, **changes: Any) -> M:
    """Make the settings of a preset's model, with some fields changed."""
    return config.model_validate(config.changed(model(kind, name), changes))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """List nested values by keys with dots."""
    for key, value in values.items():
        inner = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        if isinstance(inner, Mapping) and inner:
            yield from flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def whole_model(config: type[Config], fitted: Mapping[str, Any], base: Any, changes: Any) -> Any:
    """Give all settings of a model but those that the data decide, unless they are among the changes.

    Wrong keys and values are left as they are, for the settings to refuse; raise ValueError where they do not fit
    together. `fitted` gives a stand-in for each setting that the data decide.
    """
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping):
        return changes
    wished = config.changed(base, changes)
    try:
        whole = config.model_validate({**fitted, **wished})
    except ValidationError as error:
        for each in error.errors(include_url=False):
            key = ".".join(["model", *map(str, each["loc"])])
            if each["type"] == "value_error":
                raise ValueError(f"{key}: {each['msg'].removeprefix('Value error, ')}") from None
            if each["type"] == "missing":
                raise ValueError(f"{key} is missing; give it, or let the preset begin from another") from None
        return wished
    return whole.model_dump(mode="json", exclude=set(fitted) - set(changes))
