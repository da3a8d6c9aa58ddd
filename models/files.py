"""Files of a model's folder, of unknown origin: to open a pipe may wait for ever, to read a device never ends."""

import stat
from pathlib import Path


def regular(path: str | Path) -> Path:
    """Return the path of a regular file; raise FileNotFoundError where there is none, ValueError where it is no such.

    A folder passes: whoever opens it is told.
    """
    path = Path(path)
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(f"{path}: is no regular file, expected one of a model's; copy it again")
    return path
