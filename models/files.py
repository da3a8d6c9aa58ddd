"""Files of a model's folder, of unknown origin: opening a pipe may block for ever, reading a device may never end."""

import stat
from pathlib import Path

SHARDS = "model-*-of-*.safetensors"
"""Weights of a checkpoint that several processes wrote, each its part."""


def regular(path: str | Path) -> Path:
    """Return the path of a regular file; raise FileNotFoundError without one, ValueError for a pipe, socket or device.

    A folder passes: opening it raises an error of its own.
    """
    path = Path(path)
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(f"{path}: is no regular file, expected one of a model's; copy it again")
    return path


def why_no_weights(directory: str | Path, otherwise: str) -> str:
    """Say what a folder lacks that has no `model.safetensors`, and what to do: some have weights in parts."""
    if any(Path(directory).glob(SHARDS)):
        return (
            f"{directory}: its weights lie in shards; `villa export checkpoint {directory} --out DIR` puts them "
            f"together, then give DIR"
        )
    return f"{directory}: {otherwise}"
