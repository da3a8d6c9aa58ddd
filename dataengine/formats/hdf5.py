"""Arrays out of an HDF5 file; whatever is wrong with the file is one line."""

from collections.abc import Iterable
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats.byte_range import ByteRange, Place, name_of, size_of


def read(place: Place, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, NDArray]:
    """Read whole datasets by key; an optional key that is not there is left out.

    Raise RecordError when the file is missing or damaged, or a required key is not in it.
    """
    import h5py  # here: only two kinds of source need it

    name, num_bytes = name_of(place), size_of(place)
    if num_bytes is None:
        raise RecordError(f"{name} is missing")
    found: dict[str, NDArray] = {}
    try:
        with ExitStack() as opened:
            source = opened.enter_context(place.open()) if isinstance(place, ByteRange) else place
            file = opened.enter_context(h5py.File(source, "r"))
            for key in (wanted := tuple(required)) + tuple(optional):
                value = file.get(key)
                if isinstance(value, h5py.Dataset):
                    found[key] = np.asarray(value[()])
                elif key in wanted:
                    raise RecordError(f"{name}: key '{key}' is missing")
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # what h5py raises on damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RecordError(f"{name}: not readable HDF5 ({num_bytes} bytes; {reason})") from error
    return found
