"""JPEGs become pictures: decoded in threads into reused buffers, or kept decoded in memory when they fit."""

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.formats.resize import resize
from dataengine.windows.window import EpisodeReader, Jpeg, Window

CHUNK = 8
"""Pictures that a thread decodes at once: below that the hand-over costs more than it wins."""


MAX_PIXELS = 2**26
"""Of a frame at rest, before memory is taken for it."""


def decode_into(jpeg: Jpeg, target: NDArray[np.uint8]) -> None:
    """Decode one JPEG into a (side, side, 3) array; one of that size is written without a copy."""
    height, width = simplejpeg.decode_jpeg_header(jpeg)[:2]
    if height * width > MAX_PIXELS:
        raise ValueError(f"it claims {width} x {height} pixels")
    if (height, width) == target.shape[:2] and target.flags.c_contiguous:
        simplejpeg.decode_jpeg(jpeg, colorspace="RGB", buffer=target)
    else:
        target[:] = resize(simplejpeg.decode_jpeg(jpeg, colorspace="RGB"), *target.shape[:2])


class Buffers:
    """Batches of pictures in memory that is used again.

    A batch stays valid until `num_kept` more were taken. On the way to a GPU it is page-locked memory instead, which
    torch hands out again only when the copy has been made.
    """

    def __init__(self, num_kept: int, *, pinned: bool = False) -> None:
        self.pinned, self.num_kept = pinned, num_kept
        self._apart = False
        self._kept: dict[tuple[str, tuple[int, ...]], list[NDArray[np.uint8]]] = defaultdict(list)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Give arrays in the block that count for nothing: a batch that is made twice takes one turn."""
        before, self._apart = self._apart, True
        try:
            yield
        finally:
            self._apart = before

    def take(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Give an array of this shape with anything in it."""
        if self._apart:
            return np.empty(shape, dtype=np.uint8)
        if self.pinned:
            return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()
        kept = self._kept[name, shape]
        array = kept.pop(0) if len(kept) > self.num_kept else np.empty(shape, dtype=np.uint8)
        kept.append(array)
        return array


class Frames:
    """Decoded frames of a reader at one size; raise DataEngineError where they were scaled to another one before.

    With `cache_mb` of memory for all frames of the cameras asked for, each is decoded once in a run; otherwise in
    every window. The pixels are the same. `read_s` and `decode_s` sum up the seconds spent on encoded frames.

    A frame that does not decode is black, and told of once for its episode: whoever makes batches leaves out the
    windows that show it (`showing_broken`).
    """

    def __init__(
        self, reader: EpisodeReader, slots: Sequence[str], side: int, *, cache_mb: float = 0, num_threads: int = 1
    ) -> None:
        if reader.frame_side not in (None, side):
            raise DataEngineError(
                f"{reader.uri}: its frames were scaled to {reader.frame_side} pixels a side, this model sees {side}; a "
                f"second scaling would blur them: `villa shard --frame-side {side}` into another folder, or give "
                f"the corpus {reader.identity.uri}"
            )
        self.reader, self.side, self.num_threads = reader, side, num_threads
        self.read_s, self.decode_s = 0.0, 0.0
        self.slots = tuple(slots)
        self.broken: dict[str, set[tuple[int, int]]] = {}
        """(row, frame) pairs that do not decode, by slot."""
        self.broken_episodes: dict[str, str] = {}
        """Episodes that have such frames, each with the first that was met."""
        self._noting = threading.Lock()
        self._pool = ThreadPoolExecutor(num_threads, "decode") if num_threads > 1 else None
        setups = reader.episodes.by_setup()
        present = {s for s in slots if any(s in setup.cameras for setup, _, _ in setups)}
        num_frames = sum(steps * len(present & set(setup.cameras)) for setup, _, steps in setups)
        num_bytes = num_frames * side * side * 3
        self.cached = num_bytes <= cache_mb * 1e6
        self._pixels: dict[str, NDArray[np.uint8]] = {}
        self._known: dict[str, NDArray[np.bool_]] = {}
        if self.cached:
            self._begins = np.concatenate([[0], np.cumsum(reader.episodes.num_steps, dtype=np.int64)])
            for slot in present:
                # Memory is only taken from the machine when a frame is first written.
                self._pixels[slot] = np.empty((int(self._begins[-1]), side, side, 3), dtype=np.uint8)
                self._known[slot] = np.zeros(int(self._begins[-1]), dtype=bool)

    def fetch(self, slot: str, wanted: Sequence[tuple[int, int]], out: NDArray[np.uint8]) -> None:
        """Write the pictures of (row, frame) pairs (n,) into `out` (n, side, side, 3)."""
        if not wanted:
            return
        if not self.cached:
            self._decode(slot, wanted, list(out))
            return
        pixels, known = self._pixels[slot], self._known[slot]
        indices = np.array([self._begins[row] + frame for row, frame in wanted])
        if not known[indices].all():
            missing = {int(p): pair for p, pair in zip(indices, wanted, strict=True) if not known[p]}
            self._decode(slot, list(missing.values()), [pixels[p] for p in missing])
            known[list(missing)] = True
        np.take(pixels, indices, axis=0, out=out, mode="clip")

    def _decode(self, slot: str, wanted: Sequence[tuple[int, int]], targets: Sequence[NDArray[np.uint8]]) -> None:
        start = time.perf_counter()
        jpegs = self.reader.jpegs(slot, wanted)
        read = time.perf_counter()
        self.read_s += read - start

        def decode_some(first: int) -> None:
            for i in range(first, min(first + CHUNK, len(jpegs))):
                try:
                    decode_into(jpegs[i], targets[i])
                except ValueError as error:
                    targets[i][:] = 0
                    self._note(slot, *wanted[i], error)

        firsts = range(0, len(jpegs), CHUNK)
        list(self._pool.map(decode_some, firsts) if self._pool else map(decode_some, firsts))
        self.decode_s += time.perf_counter() - read

    def showing_broken(self, windows: Sequence[Window]) -> list[int]:
        """List the windows, of those whose frames were fetched, that show a frame which does not decode."""
        return [
            i
            for i, w in enumerate(windows)
            if any((w.episode.row, int(frame)) in broken for broken in self.broken.values() for frame in w.frames)
        ]

    def readable(self, windows: Sequence[Window]) -> list[Window]:
        """Leave out windows that show a frame which does not decode, unless all do."""
        for w in windows:
            scratch = np.empty((len(w.frames), self.side, self.side, 3), np.uint8)
            for slot in set(self.slots) & set(w.episode.cameras):
                self.fetch(slot, [(w.episode.row, int(frame)) for frame in w.frames], scratch)
        bad = set(self.showing_broken(windows))
        return [w for i, w in enumerate(windows) if i not in bad] or list(windows)

    def _note(self, slot: str, row: int, frame: int, error: ValueError) -> None:
        name = self.reader.episodes[row].episode_id
        with self._noting:
            self.broken.setdefault(slot, set()).add((row, frame))
            is_new = name not in self.broken_episodes
            if is_new:
                self.broken_episodes[name] = f"frame {frame} of camera {slot}"
        if is_new:
            message = f"episode {name}: frame {frame} of camera {slot} does not decode ({' '.join(str(error).split())})"
            advice = "windows that show it are left out; rule drop_broken_pictures of `villa curate` drops the episode"
            print(f"{message}; {advice}", file=sys.stderr, flush=True)  # noqa: T201

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
