"""Options of a source: the fields of its class beside root, frame_size and frame_hz, set by name from the command line.

keep_failures: Annotated[bool, "Keep attempts that the publisher marks as failed."] = False
"""

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from dataengine.errors import DataEngineError

COMMON = ("root", "frame_size", "frame_hz")
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
        word = self.name.replace("_", "-")
        return f"--{word}" if self.kind is bool and self.default is False else f"--{word} {_kind_name(self.kind)}"


def options_of(source: type) -> list[Option]:
    """List the options of a source; one that is no dataclass has none."""
    if not is_dataclass(source):
        return []
    hints = get_type_hints(source, include_extras=True)
    found = []
    for entry in fields(source):
        if entry.name in COMMON or not entry.init:
            continue
        kind, *about = get_args(hints[entry.name]) if hasattr(hints[entry.name], "__metadata__") else (entry.type,)
        default = None if entry.default is MISSING else entry.default
        found.append(Option(entry.name, kind, default, str(about[0]) if about else ""))
    return found


def checked(source: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check values against a source's options and give them their types; raise DataEngineError with a near match."""
    known = {option.name: option for option in options_of(source)}
    name = getattr(source, "name", source.__name__)
    typed = {}
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            names = ", ".join(option.usage for option in known.values())
            hint = f"did you mean '{known[close[0]].usage}'?" if close else f"it takes {names or 'none'}"
            raise DataEngineError(f"{name} has no option '--{key.replace('_', '-')}'; {hint}")
        try:
            typed[key] = TypeAdapter(known[key].kind).validate_python(value)
        except ValidationError as error:
            wanted = error.errors()[0]["msg"].replace("Input should be", "expected")
            raise DataEngineError(f"{name}: option '{known[key].usage}': found {value!r}, {wanted}") from error
    return typed


def _kind_name(kind: Any) -> str:
    """Say in a word what an option takes: its choices, or the name of its type."""
    choices = [str(choice) for choice in get_args(kind) if not isinstance(choice, type)]
    return "|".join(choices) if choices else getattr(kind, "__name__", str(kind)).upper()
