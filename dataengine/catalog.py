"""Finds sources, stages and runners by file name: `sources/openx/libero.py` holds `Libero`, named `openx/libero`."""

import difflib
import importlib
import pkgutil
from types import ModuleType

from dataengine.errors import DataEngineError
from dataengine.protocols import Source, Stage


def _names(package_name: str) -> list[str]:
    """List the modules below a package as slash-separated names."""
    package = importlib.import_module(package_name)
    found = pkgutil.walk_packages(package.__path__, prefix=f"{package_name}.")
    modules = (m.name for m in found if not m.ispkg and not m.name.rpartition(".")[2].startswith("_"))
    return sorted(name.removeprefix(f"{package_name}.").replace(".", "/") for name in modules)


def _load(kind: str, package_name: str, name: str) -> type:
    """Import one module by its name and return the class of the same name."""
    known = _names(package_name)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
        raise DataEngineError(f"no {kind} '{name}'; {hint}")
    module: ModuleType = importlib.import_module(f"{package_name}.{name.replace('/', '.')}")
    return getattr(module, "".join(word.capitalize() for word in name.rpartition("/")[2].split("_")))


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
    return _names("dataengine.stages")


def stage(name: str) -> type[Stage]:
    """Look up a curation stage."""
    return _load("stage", "dataengine.stages", name)
