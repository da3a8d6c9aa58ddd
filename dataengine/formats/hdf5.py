"""Arrays out of an HDF5 file; whatever is wrong with the file is one line."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError


def read(path: str | Path, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, NDArray]:
    """Read whole datasets by key; an optional key that is not there is left out.

    Raise RecordError when the file is missing or damaged, or a required key is not in it.
    """
    import h5py  # here: only two kinds of source need it

    path = Path(path)
    if not path.is_file():
        raise RecordError(f"{path.name} is missing")
    found: dict[str, NDArray] = {}
    try:
        with h5py.File(path, "r") as file:
            for key in (wanted := tuple(required)) + tuple(optional):
                value = file.get(key)
                if isinstance(value, h5py.Dataset):
                    found[key] = np.asarray(value[()])
                elif key in wanted:
                    raise RecordError(f"{path.name}: key '{key}' is missing")
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # what h5py raises on damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RecordError(f"{path.name}: not readable HDF5 ({path.stat().st_size} bytes; {reason})") from error
    return found
