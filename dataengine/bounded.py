"""What was used last, within a bound of bytes."""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from threading import Lock
from typing import Final, Generic, TypeVar

import numpy as np

ENTRY_BYTES: Final = 400
"""Of an entry beside the numbers that it owns."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """A mapping whose longest unused entries go; threads may share it."""

    def __init__(
        self, max_bytes: float, *, max_entries: float = math.inf, size: Callable[[V], int] | None = None
    ) -> None:
        self._max_bytes, self._max_entries, self._num_bytes = max_bytes, max_entries, 0
        self._size = size or _size
        self._held: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, keys: Iterable[K]) -> dict[K, V]:
        """Give those that are held."""
        with self._lock:
            held = {key: self._held[key] for key in keys if key in self._held}
            for key in held:
                self._held.move_to_end(key)
        return held

    def keep(self, new: Mapping[K, V]) -> None:
        """Hold more."""
        with self._lock:
            for key, value in new.items():
                if key not in self._held:
                    self._held[key] = value
                    self._num_bytes += self._size(value)
            while self._held and (self._num_bytes > self._max_bytes or len(self._held) > self._max_entries):
                self._num_bytes -= self._size(self._held.popitem(last=False)[1])


def _size(value: object) -> int:
    """Count what goes with an entry; views of others' memory, as of a mapped file, are no part of it."""
    return ENTRY_BYTES + (value.nbytes if isinstance(value, np.ndarray) and value.base is None else 0)
