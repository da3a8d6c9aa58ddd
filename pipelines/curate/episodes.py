"""Pictures of rows of the corpus, read in one batch when a stage first asks for them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dataengine.curation.film import Film, main_camera
from dataengine.episode import CAMERA_SLOTS
from dataengine.schema import checksum_column
from dataengine.store import Corpus


def film_columns(corpus: Corpus) -> list[str]:
    """Columns that `open_film` needs."""
    slots = [name for slot in CAMERA_SLOTS for name in (f"height_{slot}", checksum_column(slot))]
    return ["episode_id", "num_steps", *(name for name in slots if name in corpus.schema.names)]


def open_film(corpus: Corpus, row: Mapping[str, Any]) -> Film:
    """Look at one row of `film_columns`; an episode without a camera has no frames."""
    slots = [slot for slot in CAMERA_SLOTS if row.get(f"height_{slot}")]
    main, episode_id, steps = main_camera(slots), row["episode_id"], row["num_steps"]

    def read(slot: str) -> Callable[[Sequence[int]], list[bytes]]:
        return lambda frames: corpus.jpegs(slot, [(episode_id, frame) for frame in frames])

    others = {slot: Film(steps, read(slot)) for slot in slots if slot != main}
    sums = [(slot, row[f"height_{slot}"], row.get(checksum_column(slot))) for slot in slots]
    known = slots and all(crc is not None for _, _, crc in sums)
    return Film(steps if main else 0, read(main), others, repr((steps, sums)) if known else "")
