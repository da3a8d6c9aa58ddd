"""The episodes of a corpus that count, as the columns of an `EpisodeTable`: made once for each state of the corpus."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataengine.digest import hex_digest
from dataengine.episode import CAMERA_SLOTS
from dataengine.shared_table import shared_table
from dataengine.store import columns
from dataengine.store.kept import Kept, trims_of
from dataengine.windows.episode_columns import Rows, Setup, arrange, distinct
from dataengine.windows.episode_table import EpisodeTable, fingerprint
from dataengine.windows.said import spell_texts

if TYPE_CHECKING:
    from dataengine.store.read.corpus import Corpus

POSITION, FIRST = "position", "first"
"""Further columns: row of the corpus's table, and steps that are left out before the first."""
DIMS: Final = ("state_dim", "action_dim")
"""And widths of the vectors, 0 where there is none."""
FINGERPRINT: Final = b"villa:fingerprint"
_FACTS: Final = ("dataset", "dataset_id", "embodiment", "embodiment_id", "kind", "control_hz", "split")


def read_episodes(corpus: "Corpus", *, kept_only: bool) -> tuple[EpisodeTable, str]:
    """Give the episodes that count, and the hash that says which they are."""
    kept = corpus.kept(kept_only=kept_only)
    files = columns.layout(corpus.lance_table, [*kept.facts, *kept.deciding, *DIMS])
    key = hex_digest("\n".join(["episodes", str(kept_only), *files]), 16)
    table = shared_table(key, len(corpus), lambda: _make(kept))
    return EpisodeTable(table), table.schema.metadata[FINGERPRINT].decode()


def _make(kept: Kept) -> pa.Table:
    table = arrange(_pieces(kept))
    episodes = EpisodeTable(table)
    known = fingerprint(episodes, episodes.numbers(FIRST))
    return table.replace_schema_metadata({**table.schema.metadata, FINGERPRINT: known.encode()})


def _pieces(kept: Kept) -> Iterator[Rows]:
    positions, start = np.flatnonzero(kept.choice.mask), 0
    for batch in kept.batches([*kept.facts, *DIMS]):
        yield _rows(batch, positions[start : start + len(batch)])
        start += len(batch)
    if not start:
        yield _rows(pa.RecordBatch.from_pylist([], kept.schema([*kept.facts, *DIMS])), positions)


def _rows(batch: pa.RecordBatch, positions: NDArray[np.int64]) -> Rows:
    head, tail = trims_of(batch)
    whole = batch["num_steps"].to_numpy().astype(np.int64)
    steps = whole - head - tail
    setups, setup = _setups(batch)
    group = batch["split_group"].fill_null("") if "split_group" in batch.schema.names else pa.array([""] * len(batch))
    return Rows(
        ids=batch["episode_id"],
        num_steps=steps,
        setups=setups,
        setup=setup,
        groups=group,
        texts=spell_texts(pa.table(batch), head, steps),
        more={
            POSITION: positions.astype(np.uint32),
            FIRST: head.astype(np.int32),
            **{name: batch[name].fill_null(0).to_numpy().astype(np.int32) for name in DIMS},
        },
    )


def _setups(batch: pa.RecordBatch) -> tuple[list[Setup], NDArray[np.int64]]:
    """Find the setups of a batch, and which each row has."""
    slots = [slot for slot in CAMERA_SLOTS if f"height_{slot}" in batch.schema.names]
    has = {slot: pc.greater(pc.fill_null(batch[f"height_{slot}"], 0), 0) for slot in slots}
    facts: dict[str, Any] = {name: batch[name] for name in _FACTS} | has
    facts["split"] = facts["split"].fill_null("train")
    first, which = distinct(facts.values(), len(batch))
    rows = pa.table(facts).take(pa.array(first)).to_pylist()
    setups = [Setup(**{n: row[n] for n in _FACTS}, cameras=tuple(s for s in slots if row[s])) for row in rows]
    return setups, which
