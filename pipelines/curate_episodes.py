"""Rows of the corpus as Episodes whose pictures are read only when a stage looks at them."""

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from dataengine.episode import CAMERA_SLOTS, CameraFrames, Episode
from dataengine.store import Corpus

_COLUMNS = (
    *("episode_id", "dataset", "embodiment", "kind", "control_hz", "num_steps", "instruction", "time_ns"),
    *("source_record", "source_uri", "split", "licence", "state_encoding", "action_encoding"),
    *("state", "state_dim", "action", "action_dim"),
)
_SIDES = ("height", "width", "native_height", "native_width")


def row_columns(corpus: Corpus) -> list[str]:
    """Columns that `read_episode` needs."""
    slots = [slot for slot in CAMERA_SLOTS if f"height_{slot}" in corpus.schema.names]
    return [*_COLUMNS, *(f"{side}_{slot}" for slot in slots for side in _SIDES)]


def read_episode(corpus: Corpus, row: Mapping[str, Any]) -> Episode:
    """Make an Episode of one row of `row_columns`."""
    names = ("dataset", "embodiment", "kind", "control_hz", "source_record", "source_uri", "split", "licence")
    episode_id, num_steps = row["episode_id"], row["num_steps"]
    return Episode(
        **{name: row[name] for name in names},
        instruction=row["instruction"] or [],
        time_ns=np.array(row["time_ns"], dtype=np.int64),
        state=_vectors(row, "state"),
        action=_vectors(row, "action"),
        state_encoding=row["state_encoding"] or "none",
        action_encoding=row["action_encoding"] or "none",
        cameras={
            slot: CameraFrames(
                jpegs=_StoredJpegs(corpus, episode_id, slot, num_steps),
                **{side: row[f"{side}_{slot}"] for side in _SIDES},
            )
            for slot in CAMERA_SLOTS
            if row.get(f"height_{slot}")
        },
    )


def _vectors(row: Mapping[str, Any], name: str) -> NDArray[np.float32] | None:
    return np.array(row[name], dtype=np.float32).reshape(-1, row[f"{name}_dim"]) if row[f"{name}_dim"] else None


class _StoredJpegs(Sequence[bytes]):
    """The frames of one camera slot, read one at a time, each once."""

    def __init__(self, corpus: Corpus, episode_id: str, slot: str, num_frames: int) -> None:
        self.corpus, self.episode_id, self.slot, self.num_frames = corpus, episode_id, slot, num_frames
        self._read: dict[int, bytes] = {}

    def __len__(self) -> int:
        return self.num_frames

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.num_frames))]
        place = range(self.num_frames)[index]
        if place not in self._read:
            self._read[place] = self.corpus.jpegs(self.slot, [(self.episode_id, place)])[0]
        return self._read[place]
