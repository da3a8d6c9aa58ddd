"""What a corpus holds of a dataset already, so that no record comes in twice when parts are divided or read anew.

The ledger keeps parts apart, not records: files that grow or arrive later move records from part to part, and a part is
read again for those that had to be rejected. A record that is in must read as it did then, else the source has changed,
and a corpus never holds two states of it.
"""

from collections.abc import Iterable
from typing import Final

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataengine.episode import CAMERA_SLOTS
from dataengine.errors import AlteredError
from dataengine.schema import CANONICAL, checksum_column

CHECKSUMS: Final = tuple(checksum_column(slot) for slot in CAMERA_SLOTS)
COMPARED: Final = ("num_steps", "time_ns", *CANONICAL, *(f"height_{slot}" for slot in CAMERA_SLOTS), *CHECKSUMS)
"""Columns that tell one state of a recording from another; all frames are in their checksums."""
LABELS: Final = ("video", "split_group", "label_start_s", "label_end_s", "texts", "split", "licence")
"""The same of a clip, which is what its label says: a table that was mended is not taken in by halves."""


class Earlier:
    """The records of one dataset in one version of `episodes.lance`."""

    def __init__(self, table: lance.LanceDataset, dataset: str) -> None:
        self._table = table
        ids: list[np.ndarray] = [np.empty(0, np.uint64)]
        rows: list[np.ndarray] = [np.empty(0, np.int64)]
        first = 0
        for batch in table.to_batches(["episode_id", "dataset"]):
            mine = np.flatnonzero(pc.equal(batch["dataset"], dataset).to_numpy(zero_copy_only=False))
            ids.append(np.array([_number(text) for text in batch["episode_id"].take(mine).to_pylist()], np.uint64))
            rows.append(mine + first)
            first += len(batch)
        all_ids = np.concatenate(ids)
        order = np.argsort(all_ids)
        self._labels = LABELS if set(LABELS) <= set(table.schema.names) else ()
        self._ids, self._rows = all_ids[order], np.concatenate(rows)[order]

    def __len__(self) -> int:
        return len(self._ids)

    def has_any(self, episode_ids: Iterable[str]) -> bool:
        """Tell whether one of these records is in."""
        return bool(np.isin(self._ids, np.array([_number(text) for text in episode_ids], np.uint64)).any())

    def holds(self, row: pa.RecordBatch) -> bool:
        """Tell whether the record of a new row is in; raise AlteredError when it is, but reads otherwise now."""
        number = np.uint64(_number(row["episode_id"][0].as_py()))
        at = int(np.searchsorted(self._ids, number))
        if at == len(self._ids) or self._ids[at] != number:
            return False
        names = [*COMPARED, *(self._labels if row["video"][0].is_valid else ())]
        stored = self._table.take([int(self._rows[at])], columns=names)
        for name in names:
            is_unknown = name in CHECKSUMS and not stored[name][0].is_valid  # from before there were any
            if not is_unknown and stored[name][0].as_py() != row[name][0].as_py():
                perhaps = "; before 0.2 villa scaled pictures otherwise" if name in CHECKSUMS else ""
                raise AlteredError(
                    f"record '{row['source_record'][0].as_py()}' is in the corpus and reads otherwise now ({name}"
                    f"{perhaps}); to take the new version, `villa corpus drop` this dataset, then ingest it again"
                )
        return True


def _number(episode_id: str) -> int:
    return int(episode_id, 16)
