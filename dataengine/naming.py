"""Things found by their names: what was probably meant by a wrong one, and files that hold one class each.

A folder with a file of its own name is one thing: `sources/rh20t/` is `rh20t`, its class lies in `rh20t/rh20t.py`.
A class that lies elsewhere is named `module:Class`.
"""

import difflib
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from dataengine.errors import DataEngineError


def did_you_mean(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """Suggest the known name nearest to a wrong one; where none is near list them all, or say what `otherwise` says.

    A name of several words, with slashes or dots in between, is also found by its last one.
    """
    names = list(dict.fromkeys(known))
    by_last = {_last(full): full for full in reversed(names)}
    close = difflib.get_close_matches(name, names, n=1) or [
        by_last[last] for last in difflib.get_close_matches(_last(name), by_last, n=1)
    ]
    if close:
        return f"did you mean '{close[0]}'?"
    return otherwise or f"known: {', '.join(names) or 'none'}"


def _last(name: str) -> str:
    return re.split(r"[/.]", name)[-1]


def module_names(package_name: str) -> list[str]:
    """List what lies below a package as slash-separated names; a leading underscore hides a file."""
    package = importlib.import_module(package_name)
    packages = pkgutil.walk_packages(package.__path__, prefix=f"{package_name}.")
    modules = (m.name for m in packages if not m.ispkg and not m.name.rpartition(".")[2].startswith("_"))
    paths = [tuple(name.removeprefix(f"{package_name}.").split(".")) for name in modules]
    wholes = {path[:-1] for path in paths if path[-1:] == path[-2:-1]}
    return sorted({"/".join(path[:-1] if path[:-1] in wholes else path) for path in paths})


def class_named(kind: str, package_name: str, name: str) -> type:
    """Import one module by its name and return its class: `drop_still` holds `DropStill`, or import `module:Class`.

    Raise DataEngineError that says which `kind` there is none of, with a near match.
    """
    if ":" in name:
        return class_at(kind, name)
    known = module_names(package_name)
    if name not in known:
        raise DataEngineError(f"no {kind} '{name}'; {did_you_mean(name, known)}")
    own_name = name.rpartition("/")[2]
    module = importlib.import_module(f"{package_name}.{name.replace('/', '.')}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{module.__name__}.{own_name}")
    return getattr(module, "".join(word.capitalize() for word in own_name.split("_")))


def class_at(kind: str, path: str) -> type:
    """Import `module:Class`; the module may lie in the folder that the command is given in.

    Raise DataEngineError that says what is wrong with the path of this `kind`.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: what is installed is found first, and workers are given this list
    module, _, name = path.partition(":")
    try:
        value = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataEngineError(f"no {kind} '{path}': {error}; expected module:Class") from error
    if not isinstance(value, type):
        raise DataEngineError(f"no {kind} '{path}': found {value!r:.80}; expected module:Class")
    return value
