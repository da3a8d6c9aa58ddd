"""Takes a dataset, or parts of it, out of a corpus: its rows, and what the tables beside them know of it.

The rows go in one commit. What comes before costs an ingest no more than to read again, what comes after no more than
the same call again: so it may be killed at any moment and repeated. Older versions and snapshots keep the rows, and the
files stay until `cleanup` removes those versions.
"""

import random
import time
from dataclasses import dataclass
from typing import Final

import lance
import pyarrow as pa
import pyarrow.compute as pc

from dataengine.episode import CAMERA_SLOTS
from dataengine.errors import CorpusError
from dataengine.schema import VECTORS, frames_column
from dataengine.store import registry, side_tables
from dataengine.store.commit.receipts import Receipt, Receipts
from dataengine.store.kept import is_one_of
from dataengine.store.read.corpus import Corpus
from dataengine.store.tables import first_line, is_conflict, open_table, settle
from dataengine.windows.labels import codes_column, label_names

MAX_TRIES: Final = 20
"""Lost races before giving up; Lance itself tries each ten times."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A dataset, or some of its parts."""

    dataset: str
    parts: frozenset[str] | None = None
    """Ids of parts; None for all that there is of the dataset."""

    @property
    def where(self) -> str:
        """Say it in SQL, for the episodes and for the rejects."""
        whole = is_one_of("dataset", [self.dataset])
        return whole if self.parts is None else f"{whole} AND {is_one_of('part_id', self.parts)}"

    def has(self, receipt: Receipt) -> bool:
        """Tell whether a receipt belongs to it."""
        return receipt.dataset == self.dataset and (self.parts is None or receipt.part_id in self.parts)


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What a corpus holds of a selection."""

    episodes: int
    steps: int
    num_bytes: int
    """Of their frames."""
    robots: int
    """Episodes with a vector, of which statistics are made."""
    parts: int
    rejects: int
    staged: int
    """Receipts of an ingest that was stopped."""
    statistics: int
    """Rows of the statistics; of single parts there are none."""
    labels: tuple[str, ...]
    """Models whose latent actions the episodes have."""

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to take out."""
        return not (self.episodes or self.rejects or self.staged or self.statistics)


def held(corpus: Corpus, selection: Selection) -> Holdings:
    """Count what there is of a selection; of frames only their sizes are read."""
    steps, robots, parts = 0, 0, set[str]()
    plain = ["num_steps", "part_id", *(f"{name}_dim" for name in VECTORS)]
    for batch in corpus.scan(plain, where=selection.where):
        steps += pc.sum(batch["num_steps"]).as_py() or 0
        parts.update(batch["part_id"].unique().to_pylist())
        dims = [batch[f"{name}_dim"].fill_null(0).to_numpy() for name in VECTORS]
        robots += int((sum(dims) > 0).sum())
    stats = corpus.stats() if selection.parts is None else None
    return Holdings(
        episodes=corpus.count(selection.where),
        steps=steps,
        num_bytes=sum(_num_bytes(corpus, selection.where, slot) for slot in CAMERA_SLOTS),
        robots=robots,
        parts=len(parts),
        rejects=open_table(corpus.uri, "rejects").count_rows(selection.where),
        staged=sum(map(selection.has, Receipts(corpus.uri).staged())),
        statistics=0 if stats is None else pc.sum(_is_of(stats, selection)).as_py() or 0,
        labels=tuple(name for name in label_names(corpus.schema) if _has(corpus, selection.where, codes_column(name))),
    )


def part_ids(corpus: Corpus, dataset: str) -> set[str]:
    """List the parts of a dataset that a corpus holds anything of."""
    whole = Selection(dataset=dataset)
    committed = {part_id for (part_id,) in corpus.distinct(["part_id"], whole.where)}
    rejects = open_table(corpus.uri, "rejects").to_table(["part_id"], filter=whole.where)
    staged = {receipt.part_id for receipt in Receipts(corpus.uri).staged() if whole.has(receipt)}
    return committed | set(rejects["part_id"].to_pylist()) | staged


def drop(corpus: Corpus, selection: Selection) -> None:
    """Take a selection out of the corpus as it is now; nothing happens where it holds nothing of it."""
    receipts = Receipts(corpus.uri)
    receipts.drop({receipt.part_id for receipt in receipts.staged() if selection.has(receipt)})
    if selection.parts is None:
        registry.forget_description(corpus.uri, "datasets", selection.dataset)
    _delete(corpus.uri, "episodes", selection.where)
    _delete(corpus.uri, "rejects", selection.where)
    if selection.parts is None:
        stats = side_tables.read_stats(corpus.uri)
        if stats is not None and pc.any(mine := _is_of(stats, selection)).as_py():
            side_tables.write_stats(corpus.uri, stats.filter(pc.invert(mine)))
    corpus.refresh()


def _has(corpus: Corpus, where: str, column: str) -> bool:
    """Tell whether one row has a value; labels are large, so the first ends the search."""
    return len(corpus.lance_table.to_table(["num_steps"], filter=f"{where} AND {column} IS NOT NULL", limit=1)) > 0


def _num_bytes(corpus: Corpus, where: str, slot: str) -> int:
    sizes = (
        batch.column(0).field("size")
        for batch in corpus.scan([frames_column(slot)], where=f"{where} AND height_{slot} IS NOT NULL")
    )
    return sum(pc.sum(each).as_py() or 0 for each in sizes)


def _is_of(stats: pa.Table, selection: Selection) -> pa.ChunkedArray:
    """Tell which groups (g,) of statistics are of the dataset."""
    return pc.equal(stats["dataset"], selection.dataset)


def _delete(corpus: str, name: str, where: str) -> None:
    """Delete rows of a table in one commit; one that loses a race looks again."""
    for attempt in range(MAX_TRIES):
        table = open_table(corpus, name)
        if not table.count_rows(where):
            return
        try:
            table.delete(where)
        except OSError as error:
            if not is_conflict(error):
                raise
            failure = error
            time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 7)))
            continue
        settle(table, _deletion_files(table))
        return
    raise CorpusError(f"{corpus}: lost {MAX_TRIES} races for a commit: {first_line(failure)}; run it again")


def _deletion_files(table: lance.LanceDataset) -> list[str]:
    return [file for fragment in table.get_fragments() if (file := fragment.deletion_file())]
