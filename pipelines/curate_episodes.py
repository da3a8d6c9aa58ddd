"""Pictures of rows of the corpus, read in one batch when a stage first asks for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from dataengine.episode import CAMERA_SLOTS
from dataengine.film import Film, main_camera
from dataengine.store import Corpus


def film_columns(corpus: Corpus) -> list[str]:
    """Columns that `open_film` needs."""
    slots = [f"height_{slot}" for slot in CAMERA_SLOTS if f"height_{slot}" in corpus.schema.names]
    return ["episode_id", "num_steps", *slots]


def open_film(corpus: Corpus, row: Mapping[str, Any]) -> Film:
    """Look at one row of `film_columns`; an episode without a camera has no frames."""
    slot = main_camera([slot for slot in CAMERA_SLOTS if row.get(f"height_{slot}")])
    episode_id = row["episode_id"]

    def read(frames: Sequence[int]) -> list[bytes]:
        return corpus.jpegs(slot, [(episode_id, frame) for frame in frames])

    return Film(row["num_steps"] if slot else 0, read)
