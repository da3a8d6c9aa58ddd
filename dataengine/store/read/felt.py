"""What the hands of people felt in a corpus: measured once for each of its states, read when it is wanted."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.bounded import ENTRY_BYTES, Bounded
from dataengine.digest import hex_digest
from dataengine.hands import rows as hands_rows
from dataengine.schema import HANDS
from dataengine.shared_table import shared_table
from dataengine.store import columns
from dataengine.store.kept import Kept
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.hands import Felt, HandStatistics, Vectors, vectors
from dataengine.windows.stats import EmbodimentStatistics

BYTES_HELD: Final = 64_000_000
"""Of one reader."""
_NAMES: Final = [field.name for field in HANDS]
_STATISTICS: Final = b"villa:hands"


def read_felt(
    table: lance.LanceDataset,
    kept: Kept,
    episodes: EpisodeTable,
    position: NDArray[np.integer],
    first: NDArray[np.integer],
) -> Felt:
    """Measure what the people among `episodes` felt, which are the `kept` of a table.

    `position` (e,) says where they lie in it, `first` (e,) which of their steps is the first that counts.
    """
    if not set(_NAMES) <= set(table.schema.names):
        return Felt()
    files = columns.layout(table, [*kept.facts, *kept.deciding, *_NAMES])
    key = hex_digest("\n".join(["hands", str(kept.deciding), *files]), 16)
    hands = _Hands(table, episodes, position, first)
    known = shared_table(key, len(episodes), lambda: hands.measure(kept))
    by_embodiment = json.loads(known.schema.metadata[_STATISTICS])
    statistics = {name: EmbodimentStatistics.from_json(one) for name, one in by_embodiment.items()}
    return Felt(known["telling"].to_numpy().view(np.bool_), hands.read, statistics)


class _Hands:
    """Rows of hands; the latest stay in memory."""

    def __init__(
        self,
        table: lance.LanceDataset,
        episodes: EpisodeTable,
        position: NDArray[np.integer],
        first: NDArray[np.integer],
    ) -> None:
        self._table, self._episodes, self._position, self._first = table, episodes, position, first
        self._held = Bounded[int, Vectors](BYTES_HELD, size=_num_bytes)

    def measure(self, kept: Kept) -> pa.Table:
        """Go once over all hands: which rows tell something, and statistics."""
        is_person = self._episodes.having(s.kind == "human" for s in self._episodes.setups)
        telling = np.zeros(len(self._episodes), np.bool_)
        measured: dict[str, HandStatistics] = {}
        order, start = np.argsort(self._position), 0  # rows, as the table has them
        for batch in kept.batches(_NAMES):
            rows = order[start : start + len(batch)]
            start += len(batch)
            there = batch["hands_wrist"].is_valid().to_numpy(zero_copy_only=False) & is_person[rows]
            for i in np.flatnonzero(there).tolist():
                seen = self._counted(int(rows[i]), batch, i)
                if seen is not None:
                    telling[rows[i]] = True
                    episode = self._episodes[int(rows[i])]
                    measured.setdefault(episode.embodiment, HandStatistics()).add(episode.dataset, seen)
        statistics = {name: one.statistics() for name, one in measured.items()}
        said = json.dumps({name: one.to_json() for name, one in statistics.items() if one is not None})
        return pa.table({"telling": telling.view(np.uint8)}).replace_schema_metadata({_STATISTICS: said.encode()})

    def read(self, rows: Sequence[int]) -> Mapping[int, Vectors]:
        """Give state and action of some rows that tell them; what is not in memory comes in one read."""
        known = self._held.get(rows)
        missing = sorted(set(rows) - known.keys(), key=lambda row: int(self._position[row]))
        if missing:
            taken = self._table.take(self._position[missing].tolist(), columns=_NAMES)
            read = {row: self._counted(row, taken, i) for i, row in enumerate(missing)}
            new = {row: seen for row, seen in read.items() if seen is not None}
            self._held.keep(new)
            known |= new
        return known

    def _counted(self, row: int, columns: pa.RecordBatch | pa.Table, i: int) -> Vectors | None:
        """Give what a row's hands tell at the steps that count."""
        hands = hands_rows.from_row({name: columns[name][i] for name in _NAMES})
        whole = vectors(hands) if hands is not None else None
        if whole is None:
            return None
        first = int(self._first[row])
        steps = slice(first, first + int(self._episodes.num_steps[row]))
        return whole[0][steps], whole[1][steps]


def _num_bytes(seen: Vectors) -> int:
    return ENTRY_BYTES + sum((part if part.base is None else part.base).nbytes for part in seen)
