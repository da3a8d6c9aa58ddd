"""JSON of unknown origin: an object, or a ValueError in one line. No torch is needed for that."""

import json
from pathlib import Path
from typing import Any, Final

from models.files import regular

MOST_BYTES: Final = 64 << 20
"""Settings of a model take some kilobytes, statistics of many datasets some megabytes."""


def read_object(path: str | Path) -> dict[str, Any]:
    """Read a file that holds one JSON object; raise FileNotFoundError without it, ValueError if it holds no such."""
    path = regular(path)
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path}: longer than {MOST_BYTES >> 20} MiB, expected settings; is it another file?")
    try:
        content = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"{path}: brackets nested too deep, expected settings; copy it again") from None
    except ValueError as error:
        raise ValueError(f"{path}: cut short or not JSON ({error}); copy it again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: found a {type(content).__name__}, expected a JSON object; copy it again")
    return content
