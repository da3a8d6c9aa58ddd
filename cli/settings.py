"""Where settings come from: defaults, then `--config`, then the command's own options, then `--set`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dataengine.errors import DataEngineError
from dataengine.setting_errors import changes_to, explain, inside

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic.fields import FieldInfo

C = TypeVar("C", bound="BaseModel")


@dataclass(frozen=True)
class Settings:
    """What `--config`, options and `--set` say."""

    file: Path | None = None
    overrides: Sequence[str] = field(default_factory=list)
    print_only: bool = False
    """Print the settings in place of using them."""

    def fill(self, config: type[C], **kwargs: Any) -> C:
        """Build a command's Config; words that are None were not given."""
        from pydantic import ValidationError

        named_as_today = getattr(config, "named_as_today", dict)
        values = named_as_today(_read(self.file)) if self.file else {}
        values |= {key: value for key, value in kwargs.items() if value is not None}
        # What is outside comes first: keys change a recipe that is named elsewhere on the line.
        for override in sorted(self.overrides, key=lambda word: word.partition("=")[0].count(".")):
            _put(values, override, named_as_today)
        try:
            filled = config.model_validate(values)
        except ValidationError as error:
            raise DataEngineError(explain(error, config)) from error
        if self.print_only:
            raise SettingsPrinted(_written(filled))
        return filled

    def give(self, key: str) -> bool:
        """Tell whether the file or `--set` has a setting, whatever its value."""
        if any(override.partition("=")[0] == key for override in self.overrides):
            return True
        return self.file is not None and key in _read(self.file)


class SettingsPrinted(Exception):  # noqa: N818 - nothing went wrong
    """Ends a command that was asked for its settings; holds them as YAML, which `--config` reads."""


def _written(config: "BaseModel") -> str:
    import yaml

    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(file: Path) -> dict[str, Any]:
    """Read a YAML file of settings."""
    import yaml

    from dataengine.formats import yaml_file

    try:
        values = yaml_file.read(file)
    except OSError as error:
        raise DataEngineError(f"--config {file}: {error.strerror}; give a YAML file of settings") from error
    except yaml.YAMLError as error:
        raise DataEngineError(f"--config {file}: not YAML: {error}") from error
    if not isinstance(values, dict | None):
        raise DataEngineError(f"--config {file}: found a {type(values).__name__}, expected lines of 'key: value'")
    return values or {}


def _put(values: dict[str, Any], override: str, named_as_today: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Lay one `key=value` over the settings; dots reach into nested ones."""
    import yaml

    from dataengine.formats import yaml_file

    key, equals, text = override.partition("=")
    if not equals or not key:
        raise DataEngineError(f"--set {override}: expected key=value, such as --set frame_size=128")
    (key,) = named_as_today({key: None})
    *parents, last = key.split(".")
    for parent in parents:
        inner = values.get(parent)
        if inner is not None and not isinstance(inner, Mapping):
            named = f" (a recipe by its name: --set {parent}.recipe={inner})" if isinstance(inner, str) else ""
            raise DataEngineError(f"{key}: '{parent}' is {inner!r} already, expected keys to change{named}")
        values[parent] = dict(inner or {})
        values = values[parent]
    try:
        values[last] = yaml_file.load(text)
    except yaml.YAMLError:
        values[last] = text


def class_of(error: "ValidationError") -> type["BaseModel"]:
    """Find the settings that an error is about, among all that are loaded."""
    from pydantic import BaseModel

    waiting = [BaseModel]
    while waiting:
        candidate = waiting.pop()
        if candidate.__name__ == error.title:
            return candidate
        waiting += candidate.__subclasses__()
    return BaseModel


def former_keys(config: type["BaseModel"]) -> Iterator[tuple[str, str]]:
    """List the former keys that are still accepted, each with the key of today."""
    yield from getattr(config, "renamed", {}).items()
    for name, info in config.model_fields.items():
        for inner in inside(info):
            yield from ((f"{name}.{old}", f"{name}.{new}") for old, new in former_keys(inner))


def leaves(config: type["BaseModel"]) -> Iterator[tuple[str, "FieldInfo"]]:
    """List the settings that hold a value, not only other settings, with what is known of them."""
    for name, info in config.model_fields.items():
        nested_classes = inside(info)
        takes_more = bool(info.metadata) and not changes_to(info)  # a name in place of keys
        if (info.annotation not in nested_classes and not changes_to(info)) or (takes_more and nested_classes):
            yield name, info
        for inner in nested_classes:
            yield from ((f"{name}.{key}", field) for key, field in leaves(inner))
