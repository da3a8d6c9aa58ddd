"""Batches ahead of the trainer: cut, read and decoded in threads of its own process, while it computes."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, cast

from dataengine.errors import DataEngineError
from dataengine.windows.mixture import WindowSampler
from dataengine.windows.window import EpisodeReader, Window, WindowSpec, cut_windows
from models.batch import ActBatch, LamBatch, WorldBatch
from pipelines.training.frames import Buffers, Frames

NUM_AHEAD = 2
"""Batches prepared while another is learnt from."""

MOST_TRIED = 100
"""Batches that are looked through for a window whose pictures decode."""

B = TypeVar("B", LamBatch, ActBatch, WorldBatch)
B_co = TypeVar("B_co", LamBatch, ActBatch, WorldBatch, covariant=True)


def num_ahead(accumulate: int) -> int:
    """Say how many batches to prepare ahead for steps of so many parts: all parts of a step are taken at once."""
    return NUM_AHEAD + accumulate - 1


def num_buffers(accumulate: int) -> int:
    """Say how many batches must stay valid: those ahead, those of the step, and the last one of the step before."""
    return num_ahead(accumulate) + accumulate + 1


class Collator(Protocol[B_co]):
    """Turns windows without pictures into a batch with pictures."""

    @property
    def frames(self) -> Frames:
        """Where the pictures come from."""
        ...

    @property
    def buffers(self) -> Buffers:
        """Where the pictures go."""
        ...

    def collate(self, windows: Sequence[Window]) -> B_co:
        """Make one batch."""
        ...


@dataclass
class Seconds:
    """Where the time of a loader went, summed over its batches."""

    cut: float = 0.0
    """Picking windows and slicing arrays."""
    read: float = 0.0
    """Reading encoded pictures."""
    decode: float = 0.0
    """Decoding and scaling them, in all threads at once."""
    pack: float = 0.0
    """Normalising, padding, copying what was decoded before."""
    wait: float = 0.0
    """The trainer stood still for a batch."""
    num_batches: int = 0

    def per_batch_ms(self) -> dict[str, float]:
        """Milliseconds of each stage for one batch."""
        count = max(self.num_batches, 1)
        return {name: round(1e3 * getattr(self, name) / count, 3) for name in ("cut", "read", "decode", "pack", "wait")}


@dataclass
class Loader(Generic[B]):
    """Yields one rank's batches from `step` on, for ever, a few of them prepared ahead.

    A batch is a pure function of the step, so the step is all its state. Pictures live in buffers that are used
    again: with `num_buffers` of them a batch is valid until the step after its own is done.
    """

    reader: EpisodeReader
    spec: WindowSpec
    sampler: WindowSampler
    collator: Collator[B]
    rank: int = 0
    world_size: int = 1
    num_ahead: int = NUM_AHEAD
    step: int = 0
    seconds: Seconds = field(default_factory=Seconds)

    def __post_init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, "loader")
        self._ahead: deque[Future[B]] = deque()

    def make(self, step: int) -> B:
        """Make the batch of one step."""
        return self.make_with_windows(step)[0]

    def make_with_windows(self, step: int) -> tuple[B, list[Window]]:
        """Make the batch of one step; tell also which window each of its rows is."""
        start = time.perf_counter()
        windows = self._cut(step)
        cut = time.perf_counter()
        batch, shown = self._make_readable(step, windows)
        frames, spent = self.collator.frames, self.seconds
        pictures = frames.read_s + frames.decode_s - spent.read - spent.decode
        spent.cut += cut - start
        spent.read, spent.decode = frames.read_s, frames.decode_s
        spent.pack += time.perf_counter() - cut - pictures
        spent.num_batches += 1
        return cast(B, batch.pinned()) if self.collator.buffers.pinned else batch, shown

    def _make_readable(self, step: int, windows: Sequence[Window]) -> tuple[B, list[Window]]:
        """Make a batch without windows that show broken pictures: others of the batch, or of later ones, stand in.

        Which ones follows from the data alone, so that a run that is stopped and continued sees the same.
        """
        batch, chosen = self.collator.collate(windows), list(windows)
        while bad := self.collator.frames.showing_broken(chosen):
            for i in bad:
                chosen[i] = self._stand_in(step, windows, i)
            with self.collator.buffers.apart():
                batch = self.collator.collate(chosen)
        return batch, chosen

    def _stand_in(self, step: int, windows: Sequence[Window], index: int) -> Window:
        """Find the first window after a place, in its batch or in those after it, that is not known to be broken."""
        for later in range(MOST_TRIED):
            some = [*windows[index + 1 :], *windows[:index]] if later == 0 else self._cut(step + later)
            broken = set(self.collator.frames.showing_broken(some))
            sound = next((w for i, w in enumerate(some) if i not in broken), None)
            if sound is not None:
                return sound
        raise DataEngineError(f"{MOST_TRIED} batches one after another show pictures that do not decode; ingest again")

    def _cut(self, step: int) -> list[Window]:
        picks = self.sampler.batch(step, self.rank, self.world_size)
        return cut_windows(self.reader, self.spec, picks)

    def __iter__(self) -> Iterator[B]:
        return self

    def __next__(self) -> B:
        self._prepare(max(self.num_ahead, 1))
        start = time.perf_counter()
        batch = self._ahead.popleft().result()
        self.seconds.wait += time.perf_counter() - start
        self.step += 1
        self._prepare(self.num_ahead)
        return batch

    def _prepare(self, num_batches: int) -> None:
        while len(self._ahead) < num_batches:
            self._ahead.append(self._worker.submit(self.make, self.step + len(self._ahead)))

    def state_dict(self) -> dict[str, int]:
        """Give all that a checkpoint must keep."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on as if `step` batches had been drawn."""
        for future in self._ahead:
            future.cancel()
        self._ahead.clear()
        self.step = state["step"]

    def close(self) -> None:
        """Stop the threads."""
        self._worker.shutdown(cancel_futures=True)
