"""Values of many episodes one after another, reduced episode by episode without a loop over episodes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows (n, ...) of e episodes; those of episode k are `values[starts[k]:starts[k + 1]]`, and may be none."""

    values: NDArray[Any]
    starts: NDArray[np.int64]
    """(e + 1,)"""

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(e,) rows of each episode."""
        return np.diff(self.starts)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """(n,) episode of each row."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """(n,) end of each row's episode: one beyond its last row."""
        return self.starts[1:][self.owners]

    def of(self, values: NDArray[Any]) -> "Ragged":
        """Hold other values of the same rows."""
        out = Ragged(values, self.starts)
        out.__dict__.update({k: v for k, v in self.__dict__.items() if k in ("lengths", "owners", "ends")})
        return out

    def first(self) -> NDArray[Any]:
        """(e, ...) the first row of each episode; there must be one."""
        return self.values[self.starts[:-1]]

    def last(self) -> NDArray[Any]:
        """(e, ...) the last row of each episode."""
        return self.values[self.starts[1:] - 1]

    def spread(self, per_episode: NDArray[Any]) -> NDArray[Any]:
        """(e, ...) to (n, ...): give every row what belongs to its episode."""
        return per_episode[self.owners]

    def sum(self) -> NDArray[Any]:
        """(e, ...); 0 of an empty episode."""
        return self._reduce(np.add, 0)

    def mean(self) -> NDArray[Any]:
        """(e, ...); NaN of an empty episode."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self.sum().T / self.lengths).T

    def max(self) -> NDArray[Any]:
        """(e, ...); NaN of an empty episode."""
        return self._reduce(np.maximum, np.nan)

    def min(self) -> NDArray[Any]:
        """(e, ...); NaN of an empty episode."""
        return self._reduce(np.minimum, np.nan)

    def quantile(self, q: float) -> NDArray[np.float64]:
        """(e,) of values (n,), linearly between neighbours as numpy does; NaN of an empty episode."""
        order = np.lexsort((self.values, self.owners))
        position = self.starts[:-1] + q * np.maximum(self.lengths - 1, 0)
        below = np.minimum(position.astype(np.int64), max(len(order) - 1, 0))
        above = np.minimum(below + 1, np.maximum(self.starts[1:] - 1, below))
        if not len(order):
            return np.full(len(self.lengths), np.nan)
        ranked = self.values[order].astype(np.float64)
        quantile = ranked[below] + (position - below) * (ranked[np.minimum(above, len(order) - 1)] - ranked[below])
        return np.where(self.lengths > 0, quantile, np.nan)

    def first_true(self) -> NDArray[np.int64]:
        """(e,) index within its episode of the first true row of values (n,); the episode's length if there is none."""
        positions = np.where(
            self.values, np.arange(len(self.values)) - self.starts[:-1][self.owners], self.lengths[self.owners]
        )
        first = self.of(positions)._reduce(np.minimum, 0)
        return first.astype(np.int64)

    def pairs(self, ahead: NDArray[np.int64] | int) -> tuple[NDArray[np.int64], "Ragged"]:
        """Find rows that have another `ahead` rows later ((e,) or one for all) in their episode.

        Gives their indices i (m,) and a Ragged of the same indices, to reduce what is computed of them.
        """
        later = np.arange(len(self.values)) + (ahead if isinstance(ahead, int) else ahead[self.owners])
        indices = np.flatnonzero(later < self.ends)
        counts = np.maximum(self.lengths - ahead, 0)
        return indices, Ragged(indices, np.concatenate([[0], np.cumsum(counts)]))

    def _reduce(self, operation: np.ufunc, empty: float) -> NDArray[Any]:
        shape = (len(self.lengths), *self.values.shape[1:])
        full = self.lengths > 0
        kind = self.values.dtype if empty == 0 or full.all() else np.result_type(self.values.dtype, np.float64)
        out = np.full(shape, empty, dtype=kind)
        if full.any():
            # reduceat would give an empty episode the first row of the next.
            out[full] = operation.reduceat(self.values, self.starts[:-1][full], axis=0)
        return out
