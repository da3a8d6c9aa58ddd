"""Finds sources and stages by file name: `sources/openx/libero.py` holds `Libero`, named `openx/libero`.

One that lies elsewhere is named `module:Class`.
"""

from dataengine.curation.stage import Stage
from dataengine.errors import DataEngineError
from dataengine.naming import class_named, module_names
from dataengine.protocols import Source


def source_names() -> list[str]:
    """Every source that `villa ingest` reads."""
    return module_names("dataengine.sources")


def source(name: str) -> type[Source]:
    """Look up a source; raise DataEngineError with a near match when there is none."""
    try:
        return class_named("source", "dataengine.sources", name)
    except DataEngineError as error:
        if not name.startswith("openx/"):
            raise
        raise DataEngineError(
            f"{error} openx/auto reads any other RLDS dataset by a mapping, which `villa sources --propose ROOT` writes"
        ) from None


def stage_names() -> list[str]:
    """Every curation stage."""
    return module_names("dataengine.curation.stages")


def stage(name: str) -> type[Stage]:
    """Look up a curation stage."""
    return class_named("stage", "dataengine.curation.stages", name)
