"""Which episodes a rule checked, by what, and why not the others."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.curation.coverage import CHECKED, Coverage, Seen

NOT_ASKED: Final = -1


@dataclass
class RuleCoverage:
    """How one rule stands to every episode, in the order of the table."""

    codes: NDArray[np.int32]
    """(e,) index into `said`; `NOT_ASKED` for episodes of another kind, and those that another rule had dropped."""
    said: list[Coverage] = field(default_factory=lambda: [CHECKED])

    @classmethod
    def of_none(cls, episodes: int) -> "RuleCoverage":
        """Begin with a rule that was not asked about any."""
        return cls(np.full(episodes, NOT_ASKED, np.int32))

    def put(self, rows: NDArray[np.int64] | Sequence[int], coverage: Coverage) -> None:
        """Note it of some episodes."""
        if coverage not in self.said:
            self.said.append(coverage)
        self.codes[rows] = self.said.index(coverage)

    def put_each(self, by_row: Mapping[int, Coverage]) -> None:
        """Note it of each episode by its row."""
        rows: dict[Coverage, list[int]] = {}
        for row, coverage in by_row.items():
            rows.setdefault(coverage, []).append(row)
        for coverage, some in rows.items():
            self.put(some, coverage)

    def of(self, row: int) -> Coverage | None:
        """Say how the rule stands to one episode; None where it was not asked."""
        code = int(self.codes[row])
        return None if code == NOT_ASKED else self.said[code]

    def unchecked(self) -> NDArray[np.int64]:
        """(k,) rows that the rule was asked about, and could not check."""
        return np.flatnonzero(np.array([not c.is_checked for c in self.said] + [False])[self.codes])

    def count(self, *, is_checked: bool) -> int:
        """Count the episodes that were checked, or those that could not be."""
        asked, unchecked = int((self.codes != NOT_ASKED).sum()), len(self.unchecked())
        return asked - unchecked if is_checked else unchecked

    def lines(self, datasets: Sequence[str]) -> Iterator[tuple[Coverage, dict[str, int]]]:
        """Give what must be reported, with the episodes of every dataset (e,); what concerns most episodes first."""
        counted = []
        for code, coverage in enumerate(self.said):
            rows = np.flatnonzero(self.codes == code)
            if coverage.text and len(rows):
                counted.append((coverage, Counter(datasets[row] for row in rows.tolist())))
        yield from sorted(
            ((coverage, dict(sorted(counts.items()))) for coverage, counts in counted),
            key=lambda each: (each[0].is_checked, -sum(each[1].values()), each[0].text),
        )


def alike(
    columns: Mapping[str, NDArray[np.float64]], state: pa.Array, action: pa.Array
) -> Iterator[tuple[Seen, NDArray[np.int64]]]:
    """Group episodes by what is known of them: numbers (n,) that are not NaN, and encodings (n,), NULL for none."""
    encodings = [vector.dictionary_encode() for vector in (state, action)]
    key = np.zeros(len(state), np.int64)
    for encoding in encodings:
        key = key * (len(encoding.dictionary) + 1) + encoding.indices.fill_null(-1).to_numpy(zero_copy_only=False) + 1
    for values in columns.values():
        key = key * 2 + ~np.isnan(values)
    for one in np.unique(key):
        rows = np.flatnonzero(key == one)
        known = frozenset(name for name, values in columns.items() if not np.isnan(values[rows[0]]))
        yield Seen(known, *(vector[int(rows[0])].as_py() or "" for vector in (state, action))), rows
