"""Which episodes count: the one answer for trainings, labels, statistics, probes, exports and snapshots.

Curation writes the column `schema.KEEP`. An episode that it has not checked counts, and so do all before there is one.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataengine import texts
from dataengine.episode import CAMERA_SLOTS
from dataengine.schema import KEEP, TRIMS
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.said import read_texts

KEPT: Final = f"{KEEP} IS NOT FALSE"
"""Episodes that curation kept, or has not checked, in SQL."""

DROPPED: Final = "dropped by curation"
"""Why an episode does not count; the other reasons are `lacks(what)`."""

ROWS_AT_ONCE: Final = 10_000
"""Rows that lie in memory as Python objects at once."""

TEXTS: Final = ("instruction", "texts")

_PLAIN: Final = (
    *("episode_id", "dataset", "dataset_id", "embodiment", "embodiment_id", "kind", "control_hz", "num_steps"),
    "split",
)

_GROUP: Final = "split_group"
"""Older corpora lack this column."""


@dataclass(frozen=True, kw_only=True)
class KeptSteps:
    """Of each row that was asked about, in the order of the table: whether it counts, and which of its steps."""

    mask: NDArray[np.bool_]
    """(rows,) True for episodes that count."""
    head: NDArray[np.int64]
    """(rows,) steps that curation cut off at the start; 0 where it did not."""
    tail: NDArray[np.int64]
    """(rows,) the same at the end."""
    left_out: Mapping[str, int]
    """Rows that do not count, by the first reason against them."""


class Kept:
    """The episodes of a table, or of one of its fragments, that count.

    `datasets`, `embodiments`, `kind` and `where` (SQL) say which are asked about. Of those do not count: what curation
    dropped (unless `kept_only` is False), what lacks one of the `vectors`, what lacks one of the camera `slots`.
    """

    def __init__(
        self,
        source: lance.LanceDataset | lance.LanceFragment,
        *,
        datasets: Collection[str] | None = None,
        embodiments: Collection[str] | None = None,
        kind: str | None = None,
        where: str | None = None,
        vectors: Sequence[str] = (),
        slots: Sequence[str] = (),
        kept_only: bool = True,
    ) -> None:
        self._source = source
        self._names: list[str] = source.schema.names
        self._filter = _all_of(
            None if datasets is None else is_one_of("dataset", datasets),
            None if embodiments is None else is_one_of("embodiment", embodiments),
            None if kind is None else is_one_of("kind", [kind]),
            f"({where})" if where else None,
        )
        self._needs = {lacks(name): f"{name}_dim" for name in vectors}
        self._needs |= {lacks(f"camera {slot}"): f"height_{slot}" for slot in slots}
        self._judged = [KEEP] if kept_only and KEEP in self._names else []
        self.trims = list(TRIMS) if kept_only and set(TRIMS) <= set(self._names) else []
        """Columns that say which steps count; none where all do."""

    @cached_property
    def choice(self) -> KeptSteps:
        """Look at every row that is asked about; only what decides is read."""
        wanted = [*self.deciding, *self.trims] or ["num_steps"]
        masks, cuts, left_out = [np.zeros(0, np.bool_)], [np.zeros((2, 0), np.int64)], Counter[str]()
        for batch in self._source.to_batches(columns=wanted, filter=self._filter):
            masks.append(self._counted(batch, left_out))
            cuts.append(np.stack(trims_of(batch)))
        head, tail = np.concatenate(cuts, axis=1)
        return KeptSteps(mask=np.concatenate(masks), head=head, tail=tail, left_out=dict(left_out))

    @property
    def left_out(self) -> Mapping[str, int]:
        """Count the episodes that were asked about and do not count, by the first reason against them."""
        return self.choice.left_out

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Stream columns of the episodes that count, in the order of the table."""
        wanted = list(dict.fromkeys([*columns, *self.deciding]))
        for batch in self._source.to_batches(columns=wanted, filter=self._filter):
            mask = self._counted(batch, Counter())
            yield (batch if mask.all() else batch.filter(pa.array(mask))).select(list(columns))

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        """Say what these columns are."""
        return pa.schema([self._source.schema.field(name) for name in columns])

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Read columns of the episodes that count, in the order of their ids."""
        wanted = list(dict.fromkeys(["episode_id", *columns]))
        schema = self.schema(wanted)
        tables = [pa.Table.from_batches([batch]) for batch in self.batches(wanted)]
        table = pa.concat_tables(tables) if tables else schema.empty_table()
        return table.sort_by("episode_id").select(list(columns))

    @property
    def facts(self) -> list[str]:
        """Columns that `infos` needs."""
        said = [name for name in TEXTS if name in self._names]  # older corpora lack the second
        heights = [f"height_{slot}" for slot in CAMERA_SLOTS if f"height_{slot}" in self._names]
        group = [_GROUP] if _GROUP in self._names else []
        return [*_PLAIN, *group, *said, *heights, *self.trims]

    def episodes(self, *, trimmed: bool = True, with_texts: bool = True) -> list[EpisodeInfo]:
        """List the episodes that count, in the order of their ids; with `trimmed` only the steps that count."""
        spared = {*(() if trimmed else TRIMS), *(() if with_texts else TEXTS)}
        return infos(self.table([name for name in self.facts if name not in spared]))

    @property
    def deciding(self) -> list[str]:
        """Columns that say whether a row counts, of those that there are."""
        return [*self._judged, *(name for name in self._needs.values() if name in self._names)]

    def _counted(self, batch: pa.RecordBatch, left_out: Counter[str]) -> NDArray[np.bool_]:
        """(rows,) tell which rows count, and count the others by their reason."""
        mask = np.ones(len(batch), np.bool_)
        for reason, name in [*((DROPPED, name) for name in self._judged), *self._needs.items()]:
            if name not in batch.schema.names:  # a column that there is not: nobody has such a camera
                good = np.zeros(len(batch), np.bool_)
            elif name == KEEP:
                good = batch[name].fill_null(True).to_numpy(zero_copy_only=False).astype(np.bool_)
            else:
                good = batch[name].fill_null(0).to_numpy() > 0
            left_out.update({reason: int((mask & ~good).sum())} if (mask & ~good).any() else {})
            mask &= good
        return mask


def lacks(what: str) -> str:
    """Say why an episode does not count: it has no such vector, or no `camera SLOT`."""
    return f"no {what}"


def is_one_of(column: str, values: Collection[str]) -> str:
    """Say in SQL that a column holds one of some words."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in sorted(values))
    return f"{column} IN ({quoted})" if quoted else "FALSE"


def trims_of(rows: pa.RecordBatch | pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(e,) steps that curation cut off at the head of each episode, and (e,) at its tail; 0 without these columns."""
    if not set(TRIMS) <= set(rows.schema.names):
        return np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    head, tail = (rows[name].fill_null(0).to_numpy().astype(np.int64) for name in TRIMS)
    return head, tail


def infos(table: pa.Table) -> list[EpisodeInfo]:
    """Describe the episodes of a table that has the columns `Kept.facts`, or all but trims or texts.

    Without trims all of their steps count.
    """
    slots = [slot for slot in CAMERA_SLOTS if f"height_{slot}" in table.column_names]
    has = {slot: pc.fill_null(table[f"height_{slot}"], 0).to_pylist() for slot in slots}
    head, tail = trims_of(table)
    said = read_texts(table) if TEXTS[0] in table.column_names else [()] * len(table)
    episodes = []
    for row, facts in enumerate(_rows(table)):
        spoken, first, cut = said[row], int(head[row]), int(head[row] + tail[row])
        if cut:
            facts["num_steps"] -= cut
            spoken = texts.cut(spoken, first, first + facts["num_steps"])
        facts["split"] = "train" if facts["split"] is None else facts["split"]
        facts[_GROUP] = facts.get(_GROUP) or ""
        cameras = tuple(slot for slot in slots if has[slot][row])
        episodes.append(EpisodeInfo(row=row, cameras=cameras, texts=spoken, **facts))
    return episodes


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    plain = [name for name in (*_PLAIN, _GROUP) if name in table.column_names]
    for batch in table.select(plain).to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _all_of(*conditions: str | None) -> str | None:
    return " AND ".join(condition for condition in conditions if condition) or None
