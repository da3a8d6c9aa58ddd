"""Serious notes and outcomes of a corpus, counted by dataset: read off the episodes, so true at every version."""

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from dataengine import notes
from dataengine.notes import NoteTally

if TYPE_CHECKING:
    from dataengine.store.read.corpus import Corpus

OUTCOME_KEY = f'"{notes.OUTCOME}"'
COLUMNS = ("dataset", "kind", "state_dim", "action_dim", "instruction", "notes")


def tallies(corpus: "Corpus") -> dict[str, NoteTally]:
    """Count the serious notes of each dataset; equal notes, which most episodes of a dataset have, are parsed once."""
    by_dataset: dict[str, NoteTally] = {}
    for batch in corpus.scan(COLUMNS):
        keys = pa.table(
            {
                "dataset": batch["dataset"],
                "kind": batch["kind"],
                "has_state": pc.greater(batch["state_dim"].fill_null(0), 0),
                "has_action": pc.greater(batch["action_dim"].fill_null(0), 0),
                "has_instruction": pc.greater(pc.list_value_length(batch["instruction"]).fill_null(0), 0),
                "notes": batch["notes"],
            }
        )
        counted = keys.append_column("episodes", pa.array([1] * len(keys))).group_by(keys.column_names)
        for row in counted.aggregate([("episodes", "sum")]).to_pylist():
            tally = by_dataset.setdefault(row["dataset"], NoteTally())
            has = {key: row[key] for key in ("kind", "has_state", "has_action", "has_instruction")}
            text = row["notes"] or ""
            said = notes.parsed(text) if notes.may_be_serious(text) else {}  # most have no serious word
            tally.add(notes.serious(said, **has), row["episodes_sum"])
    return by_dataset


def outcomes(corpus: "Corpus") -> dict[str, Counter[str]]:
    """Count the episodes of each dataset whose publisher or simulator says how they ended: `success`, `failure`."""
    by_dataset: dict[str, Counter[str]] = {}
    for batch in corpus.scan(["dataset", "notes"]):
        said = pa.table({"dataset": batch["dataset"], "notes": batch["notes"]})
        said = said.filter(pc.match_substring(said["notes"], OUTCOME_KEY))  # most episodes of most corpora say nothing
        for row in said.to_pylist():
            if (text := notes.parsed(row["notes"]).get(notes.OUTCOME, "")) in notes.OUTCOMES:
                by_dataset.setdefault(row["dataset"], Counter())[text] += 1
    return by_dataset
