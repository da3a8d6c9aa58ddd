"""One episode of a corpus, read bit by bit."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray

from dataengine import texts
from dataengine.episode import CAMERA_SLOTS, phrases_of
from dataengine.hands import Hands
from dataengine.hands import rows as hands_rows
from dataengine.notes import parsed
from dataengine.schema import HANDS, VECTORS, exact_column, exact_dims_column
from dataengine.vector_layout import VectorLayout, layout_of


class RowSource(Protocol):
    """What an episode is read from: a corpus."""

    @property
    def schema(self) -> pa.Schema:
        """Columns that there are."""
        ...

    def read_row(self, row: int, columns: Sequence[str]) -> dict[str, pa.Scalar]:
        """Read a few columns of one row."""
        ...

    def read_frames(self, slot: str, rows: Sequence[int], frames: Sequence[int]) -> list[bytes | memoryview]:
        """Read encoded frames of one camera."""
        ...


class StoredEpisode:
    """An episode at rest. What is small is here at once, arrays and frames are read when asked for."""

    def __init__(self, corpus: RowSource, row: int, index: pa.Table) -> None:
        self._corpus, self.row = corpus, row
        known: dict[str, Any] = {name: index[name][row].as_py() for name in index.column_names}
        self.episode_id: str = known["episode_id"]
        self.dataset: str = known["dataset"]
        self.dataset_id: int = known["dataset_id"]
        self.embodiment: str = known["embodiment"]
        self.embodiment_id: int = known["embodiment_id"]
        self.kind: str = known["kind"]
        self.control_hz: float = known["control_hz"]
        self.num_steps: int = known["num_steps"]
        self.texts = texts.from_row(known.get("texts"), known["instruction"], self.num_steps)
        """What is said, and at which steps."""
        self.instruction = list(phrases_of(self.texts))
        self.split: str = known["split"]
        self.cameras = tuple(slot for slot in CAMERA_SLOTS if known[f"height_{slot}"] is not None)
        """Slots that it has frames of."""
        self._dims = {name: known[f"{name}_dim"] for name in VECTORS}

    @property
    def state(self) -> NDArray[np.float32] | None:
        """(t, s) canonical state, None for a clip without proprioception."""
        return self._vectors["state"]

    @property
    def action(self) -> NDArray[np.float32] | None:
        """(t, a) canonical action; row i was taken after observation i."""
        return self._vectors["action"]

    @property
    def raw_state(self) -> NDArray[np.floating[Any]] | None:
        """(t, r) the source's own numbers: float64, or float32 in a corpus that an older villa made."""
        return self._vectors["raw_state"]

    @property
    def raw_action(self) -> NDArray[np.floating[Any]] | None:
        """The source's own numbers."""
        return self._vectors["raw_action"]

    @property
    def raw_state_exact(self) -> dict[int, NDArray[np.int64]]:
        """Which values of `raw_state` are whole numbers that float64 rounds, each with its (t,) true ones."""
        return self._exact("raw_state")

    @property
    def raw_action_exact(self) -> dict[int, NDArray[np.int64]]:
        """The same of `raw_action`."""
        return self._exact("raw_action")

    @cached_property
    def time_ns(self) -> NDArray[np.int64]:
        """(t,) nanoseconds since the first step."""
        return self._corpus.read_row(self.row, ["time_ns"])["time_ns"].values.to_numpy()

    def layout(self, vector: str) -> VectorLayout:
        """Say what the values of `state` or `action` are."""
        facts = self._corpus.read_row(self.row, [f"{vector}_encoding", "notes"])
        encoding, notes = (value.as_py() for value in facts.values())
        about = {"dataset": self.dataset, "embodiment": self.embodiment}
        return layout_of(vector, encoding, self._dims[vector] or 0, notes, **about)

    @cached_property
    def notes(self) -> dict[str, str]:
        """What its source decided for it."""
        return parsed(self.column("notes"))

    @cached_property
    def hands(self) -> Hands | None:
        """Hands of the person at each step; None where its source tells of none."""
        names = [field.name for field in HANDS]
        if names[0] not in self._corpus.schema.names:  # from before there were any
            return None
        return hands_rows.from_row(self._corpus.read_row(self.row, names))

    def column(self, name: str) -> Any:
        """Value of any other column, as a Python object."""
        return self._corpus.read_row(self.row, [name])[name].as_py()

    def jpegs(self, slot: str, indices: Sequence[int] | None = None) -> list[bytes]:
        """Read encoded frames of a camera: all, or those at some steps."""
        frames = range(self.num_steps) if indices is None else indices
        return [bytes(data) for data in self._corpus.read_frames(slot, [self.row] * len(frames), frames)]

    def frames(self, slot: str, indices: Sequence[int] | None = None) -> NDArray[np.uint8]:
        """Read and decode frames (t, height, width, 3), RGB: all, or those at some steps."""
        return np.stack([simplejpeg.decode_jpeg(jpeg, "RGB") for jpeg in self.jpegs(slot, indices)])

    def _exact(self, name: str) -> dict[int, NDArray[np.int64]]:
        columns = [exact_dims_column(name), exact_column(name)]
        if columns[0] not in self._corpus.schema.names:  # from before there was one
            return {}
        dims, values = self._corpus.read_row(self.row, columns).values()
        if not dims.is_valid:
            return {}
        rows = values.values.to_numpy().reshape(-1, len(dims))
        return {i: np.ascontiguousarray(rows[:, k]) for k, i in enumerate(dims.as_py())}

    @cached_property
    def _vectors(self) -> dict[str, NDArray[Any] | None]:
        having = [name for name in VECTORS if self._dims[name]]
        held = self._corpus.read_row(self.row, having) if having else {}
        return {
            name: held[name].values.to_numpy().reshape(-1, self._dims[name]) if name in held else None
            for name in VECTORS
        }
