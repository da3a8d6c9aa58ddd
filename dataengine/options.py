"""Options of a source: fields of its class that not every source has, set by name from the command line.

keep_failures: Annotated[bool, "Keep attempts that the publisher marks as failed."] = False
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from dataengine.errors import DataEngineError, UnknownOptionError
from dataengine.naming import did_you_mean

COMMON = ("root", "frame_size", "frame_hz", "fit")
"""What every source takes; `villa ingest` has options of its own for them."""


@dataclass(frozen=True)
class Option:
    """One option, as `villa sources NAME` shows it."""

    name: str
    kind: Any
    default: Any
    about: str

    @property
    def usage(self) -> str:
        """How it is written on the command line."""
        is_switch = self.kind is bool and self.default is False
        return self.flag if is_switch else f"{self.flag} {_kind_name(self.kind)}"

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return flag_of(self.name)

    @property
    def about_with_default(self) -> str:
        """What it does, and what holds where it is not given."""
        is_given = self.default not in (None, "", False)
        return f"{self.about} [default: {self.default}]" if is_given else self.about


def flag_of(name: str) -> str:
    """Spell a name as the command line does."""
    return f"--{name.replace('_', '-')}"


def options_of(source: type) -> list[Option]:
    """List the options of a source; one that is no dataclass has none."""
    if not is_dataclass(source):
        return []
    hints = get_type_hints(source, include_extras=True)
    options = []
    for entry in fields(source):
        if entry.name in COMMON or not entry.init:
            continue
        kind, *about = get_args(hints[entry.name]) if hasattr(hints[entry.name], "__metadata__") else (entry.type,)
        default = None if entry.default is MISSING else entry.default
        options.append(Option(entry.name, kind, default, str(about[0]) if about else ""))
    return options


def checked(source: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check values against a source's options and give them their types; raise DataEngineError with a near match."""
    known = {option.name: option for option in options_of(source)}
    name = getattr(source, "name", source.__name__)
    typed = {}
    for key, value in values.items():
        if key not in known:
            usages = ", ".join(option.usage for option in known.values())
            flag, flags = flag_of(key), [option.flag for option in known.values()]
            raise unknown_option(name, flag, flags, f"it takes {usages or 'none'}")
        try:
            typed[key] = TypeAdapter(known[key].kind).validate_python(value)
        except ValidationError as error:
            wanted = error.errors()[0]["msg"].replace("Input should be", "expected")
            raise DataEngineError(f"{name}: option '{known[key].usage}': found {value!r}, {wanted}") from error
    return typed


def unknown_option(source: str, flag: str, known: Sequence[str], otherwise: str) -> UnknownOptionError:
    """Say that a source has no such option, and the nearest known one, or what there is `otherwise`."""
    hint = did_you_mean(flag, known, otherwise)
    return UnknownOptionError(f"{source} has no option '{flag}'; {hint}", source, flag, known, otherwise)


def _kind_name(kind: Any) -> str:
    """Say in a word what an option takes: its choices, or the name of its type."""
    choices = [str(choice) for choice in get_args(kind) if not isinstance(choice, type)]
    return "|".join(choices) if choices else getattr(kind, "__name__", str(kind)).upper()
