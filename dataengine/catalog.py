"""Finds sources, stages and runners by file name: `sources/openx/libero.py` holds `Libero`, named `openx/libero`.

A folder with a file of its own name is one thing: `sources/rh20t/` is `rh20t`, its class lies in `rh20t/rh20t.py`.
"""

import difflib
import importlib
import pkgutil
from types import ModuleType

from dataengine.curation.stage import Stage
from dataengine.errors import DataEngineError
from dataengine.protocols import Source


def _names(package_name: str) -> list[str]:
    """List what lies below a package as slash-separated names."""
    package = importlib.import_module(package_name)
    found = pkgutil.walk_packages(package.__path__, prefix=f"{package_name}.")
    modules = (m.name for m in found if not m.ispkg and not m.name.rpartition(".")[2].startswith("_"))
    paths = [tuple(name.removeprefix(f"{package_name}.").split(".")) for name in modules]
    wholes = {path[:-1] for path in paths if path[-1:] == path[-2:-1]}
    return sorted({"/".join(path[:-1] if path[:-1] in wholes else path) for path in paths})


def _load(kind: str, package_name: str, name: str) -> type:
    """Import one module by its name and return the class of the same name."""
    known = _names(package_name)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
        raise DataEngineError(f"no {kind} '{name}'; {hint}")
    own_name = name.rpartition("/")[2]
    module: ModuleType = importlib.import_module(f"{package_name}.{name.replace('/', '.')}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{module.__name__}.{own_name}")
    return getattr(module, "".join(word.capitalize() for word in own_name.split("_")))


def source_names() -> list[str]:
    """Every source that `villa ingest` reads."""
    return _names("dataengine.sources")


def source(name: str) -> type[Source]:
    """Look up a source; raise DataEngineError with a near match when there is none.

    `module:Class` names one that lives elsewhere.
    """
    module, colon, class_name = name.partition(":")
    if colon:
        try:
            return getattr(importlib.import_module(module), class_name)
        except (ImportError, AttributeError) as error:
            raise DataEngineError(f"no source '{name}': {error}; expected module:Class") from error
    return _load("source", "dataengine.sources", name)


def stage_names() -> list[str]:
    """Every curation stage."""
    return _names("dataengine.curation.stages")


def stage(name: str) -> type[Stage]:
    """Look up a curation stage."""
    return _load("stage", "dataengine.curation.stages", name)
