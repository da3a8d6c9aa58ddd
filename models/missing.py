"""What to do where a folder holds no model; needs no torch."""

from itertools import islice
from pathlib import Path

from models.files import SHARDS
from models.json_file import read_object

_CONFIG_NAME = "model_config.json"


def what_is_missing(directory: Path) -> str:
    """Say what to do where a directory holds no model, or none yet."""
    if checkpoints := sorted(directory.glob(f"checkpoints/step-*/{_CONFIG_NAME}")):
        newest = checkpoints[-1].parent
        take = f"`villa export checkpoint {directory} --out DIR`" if any(newest.glob(SHARDS)) else newest
        return f"its training is not at its end: run the same command again, or take {take}"
    if below := models_below(directory):
        return f"give a model that lies in it: {', '.join(below)}"
    return "expected a directory that `villa train` wrote"


def models_below(directory: Path, architecture: str = "") -> list[str]:
    """List folders right below one that hold a model of an architecture, or of any: the first five by name."""
    paths = (path for path in sorted(directory.glob(f"*/{_CONFIG_NAME}")) if _is_of(path, architecture))
    return [str(path.parent) for path in islice(paths, 5)]


def _is_of(path: Path, architecture: str) -> bool:
    try:
        return architecture in ("", read_object(path).get("architecture"))
    except (OSError, ValueError):
        return False
