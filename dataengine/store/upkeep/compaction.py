"""Rewrites many small fragments into few large ones: same rows, same ids of rows, same bytes of frames.

A part becomes a fragment of its own, and every reader opens every fragment. Neighbours that are small are therefore
copied together into one, group by group, each in a commit of its own. Lance refuses the commit if anybody changed one
of the group's fragments meanwhile: a label, a new column, or a committer, whose fence is the lowest fragment. The group
is then copied again. The lowest goes last, so that a running ingest keeps its fence longest.

A fragment of which enough rows were deleted (a dataset was dropped that it held beside others) is copied without them.

Whatever dies on the way leaves files that no version names.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import lance
from lance.optimize import Compaction, RewriteResult

from dataengine.progress import ProgressBar
from dataengine.storage import make_durable
from dataengine.store.commit.receipts import data_folder, files_of
from dataengine.store.tables import SIDE_TABLES, exists, is_conflict, join_fragments, open_table, settle

TARGET_BYTES: Final = 1_000_000_000
"""Bytes of a fragment that is large enough. From half of that on one is left alone: to copy it again would not pay."""

PAYS: Final = 1_000
"""Fragments fewer for which compaction is worth its copy: each costs every scan about half a millisecond."""

GROUP: Final = 1_000
"""Most fragments that are joined at once; what is still small is joined again. Short work loses fewer races."""

MAX_TRIES: Final = 5
"""Times a group is copied before it is left to whoever keeps changing it."""

_OPTIONS: Final = {"target_rows_per_fragment": 1 << 40, "batch_size": 16, "materialize_deletions": False}
"""Lance counts rows, we count bytes: it gets one group at a time. Few rows at once keep memory small."""


HOLLOW: Final = 0.1
"""Share of deleted rows from which on a fragment is worth a copy, however large."""


@dataclass(frozen=True)
class FragmentSize:
    """A fragment and the bytes of its files."""

    fragment_id: int
    num_bytes: int
    deleted: float = 0.0
    """Share of its rows that are deleted, and still take their bytes."""

    @property
    def is_hollow(self) -> bool:
        """Tell whether a copy without the deleted rows pays."""
        return self.deleted >= HOLLOW

    @property
    def left(self) -> float:
        """Bytes of a copy."""
        return self.num_bytes * (1 - self.deleted)


@dataclass
class Compacted:
    """What was done."""

    groups: int = 0
    num_bytes: int = 0
    left: int = 0
    """Groups that somebody else changed each time."""


def pieces(table: lance.LanceDataset, corpus: str) -> list[FragmentSize]:
    """List the fragments of `episodes.lance` in its order, with their bytes, blobs included."""
    sizes: dict[str, int] = {}
    for path, size in data_folder(corpus).tree().items():
        stem = path.partition("/")[0].removesuffix(".lance")
        sizes[stem] = sizes.get(stem, 0) + size
    return [
        FragmentSize(
            f.fragment_id,
            sum(sizes.get(file.path.removesuffix(".lance"), 0) for file in f.data_files()),
            f.num_deletions / max(f.physical_rows, 1),
        )
        for f in table.get_fragments()
    ]


def groups(pieces: Sequence[FragmentSize], target: int) -> list[list[FragmentSize]]:
    """Join small neighbours until they make a large fragment; what stays alone is left out, unless it is hollow.

    The lowest comes last.
    """
    joined: list[list[FragmentSize]] = [[]]
    num_bytes = 0.0
    for piece in pieces:
        is_large = 2 * piece.left >= target
        if is_large or num_bytes >= target or len(joined[-1]) == GROUP:
            joined += [[piece], []] if is_large else [[]]
            num_bytes = 0
        if not is_large:
            joined[-1].append(piece)
            num_bytes += piece.left
    whole = [group for group in joined if len(group) > 1 or any(piece.is_hollow for piece in group)]
    return sorted(whole, key=lambda group: min(piece.fragment_id for piece in group), reverse=True)


def compact(corpus: str, target: int, live: ProgressBar) -> Compacted:
    """Rewrite small fragments of `episodes.lance` until none has a small neighbour, and hollow ones.

    `live` counts bytes, each once: what is joined in steps is copied again, but soon done.
    """
    done, first = Compacted(), True
    while todo := groups(pieces(open_table(corpus, "episodes"), corpus), target):
        for group in todo:
            if not _rewrite(corpus, {piece.fragment_id for piece in group}):
                done.left += 1
                continue
            num_bytes = sum(piece.num_bytes for piece in group)
            done.groups += 1
            done.num_bytes += num_bytes
            if first:
                live.advance(num_bytes)
        first = False
        if done.left:
            break
    return done


def compact_side_tables(corpus: str) -> None:
    """Make one fragment of each table beside the episodes, unless somebody writes it just now."""
    for name in SIDE_TABLES:
        if exists(corpus, name):
            join_fragments(open_table(corpus, name))


def _rewrite(corpus: str, group: set[int]) -> bool:
    """Copy a group into one fragment; tell whether the table took it."""
    for attempt in range(MAX_TRIES):
        table = open_table(corpus, "episodes")
        there = {fragment.fragment_id for fragment in table.get_fragments()}
        if not group <= there:  # somebody else compacts, too
            return False
        alone = {"materialize_deletions": True, "materialize_deletions_threshold": 0.0} if len(group) == 1 else {}
        plan = Compaction.plan(table, {**_OPTIONS, **alone, "excluded_fragment_ids": sorted(there - group)})
        copies = [task.execute(table) for task in plan.tasks]
        files = [file for copy in copies for file in _files(corpus, copy)]
        make_durable(f"{data_folder(corpus).uri}/{file}" for file in files)
        try:
            Compaction.commit(table, copies)
        except OSError as error:
            if not is_conflict(error):
                raise
            for file in files:  # refused, so that no version will ever name them
                data_folder(corpus).delete(file)
            time.sleep(random.uniform(0, 0.1 * 2**attempt))
            continue
        settle(table, [])
        return True
    return False


def _files(corpus: str, copy: RewriteResult) -> list[str]:
    return [file for fragment in copy.new_fragments for file, _ in files_of(corpus, fragment)]
