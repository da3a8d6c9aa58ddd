"""Which episodes count: all but those that curation dropped."""

import numpy as np
from numpy.typing import NDArray

from dataengine.store import Corpus


def kept_mask(corpus: Corpus, fragment_id: int) -> NDArray[np.bool_]:
    """(rows,) True for episodes that curation kept or has not judged."""
    if "keep" not in corpus.schema.names:
        return np.ones(len(corpus.fragment_table(fragment_id, ["num_steps"])), dtype=bool)
    return corpus.fragment_table(fragment_id, ["keep"])["keep"].fill_null(True).to_numpy().astype(bool)
