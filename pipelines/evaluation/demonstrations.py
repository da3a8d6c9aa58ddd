"""What `replay` replays: the demonstrations of a corpus that were asked for one thing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataengine import texts
from dataengine.errors import DataEngineError
from dataengine.schema import TRIMS


def demonstrations(corpus: str, source: str, instruction: str) -> Sequence[NDArray[np.float32]]:
    """Take the actions (t, a) of all steps of a corpus that were asked for the same, of those that curation kept."""
    from dataengine.store import Corpus

    opened = Corpus.open(corpus)
    kept = opened.kept(datasets=[source], vectors=["action"])
    names = [name for name in ("instruction", "texts", *kept.trims) if name in opened.schema.names]
    shown = list[NDArray[np.float32]]()
    for row in (
        row for batch in kept.batches([*names, "num_steps", "action", "action_dim"]) for row in batch.to_pylist()
    ):
        head, tail = (row.get(trim) or 0 for trim in TRIMS)
        said = texts.from_row(row.get("texts"), row["instruction"], row["num_steps"])
        actions = np.asarray(row["action"], np.float32).reshape(-1, row["action_dim"])[head : row["num_steps"] - tail]
        asked = (text for text in texts.cut(said, head, row["num_steps"] - tail) if instruction in text.phrases)
        shown += [actions[text.start : text.end] for text in asked]
    if not shown:
        raise DataEngineError(
            f"{corpus}: no episode of {source} with instruction '{instruction}' to replay; --acts-as names another "
            f"dataset"
        )
    return shown
