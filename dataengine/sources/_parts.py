"""What sources share: grouping small files into parts, rejecting a record, checking its numbers."""

from collections.abc import Callable, Iterable, Iterator
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from dataengine.episode import Episode, Part, Reject
from dataengine.errors import RecordError, UnexpectedError
from dataengine.reading import digest, one_line, reading

PART_BYTES = 256 * 2**20
"""A part is closed once it holds this much: tasks of at least 100 MB keep the cluster's overhead small."""

Item = TypeVar("Item")
P = ParamSpec("P")


def grouped(sized: Iterable[tuple[Item, int]], part_bytes: int = PART_BYTES) -> Iterator[tuple[list[Item], int]]:
    """Group (item, bytes) in order into lists of about `part_bytes`, each with its size."""
    group: list[Item] = []
    total = 0
    for item, num_bytes in sized:
        group.append(item)
        total += num_bytes
        if total >= part_bytes:
            yield group, total
            group, total = [], 0
    if group:
        yield group, total


def episode_or_reject(
    part: Part, record: str, uri: str, read: Callable[P, Episode], *args: P.args, **kwargs: P.kwargs
) -> Episode | Reject:
    """Call `read`; what is wrong with the record, or what any library raises over it, costs this record alone."""
    try:
        with reading():
            return read(*args, **kwargs)
    except RecordError as error:
        return rejected(part, record, error, uri)


def rejected(part: Part, record: str, error: RecordError, uri: str = "") -> Reject:
    """Say that a record of a part, or with an empty `record` all of it, is bad."""
    return Reject(
        part_id=part.part_id,
        dataset=part.dataset,
        source_uri=uri or part.uri,
        record=record,
        reason=one_line(str(error)),
        error=type(error).__name__,
        traceback_digest=digest(error) if isinstance(error, UnexpectedError) else "",
    )


def vector(values: NDArray, name: str) -> NDArray[np.float32]:
    """Return float32 (t, n), contiguous; raise RecordError at a number that is not finite."""
    array = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise RecordError(f"{name}[{row}, {column}] is {array[row, column]}, expected a finite number")
    return array
