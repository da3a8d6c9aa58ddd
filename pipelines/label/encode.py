"""Latent actions of episodes: frames are read and decoded in threads while the model encodes the ones before."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataengine.store import Corpus
from dataengine.windows.labels import NO_CODE
from pipelines.label.precision import CodesCompared, Precision, set_precision
from pipelines.training.frames import decode_into

if TYPE_CHECKING:
    from models.lam import Lam

CHUNK_FRAMES = 512
"""Frames decoded ahead at once; two such chunks are in memory."""
DECODE_TOGETHER = 8
FRAMES_AT_ONCE = 32
"""Frames embedded together, each once for all windows that it is in."""
COMPARED_WINDOWS = 256
"""That an encoder in another precision than float32 also encodes in that."""
CPU_BYTES = 3 * 2**20
"""Of the widest activations at once on a CPU, which has no use for more than its cache holds."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Latent actions asked for: those of some first frames of one episode."""

    episode_id: str
    num_steps: int
    stride: int
    """Control steps K that one latent action spans."""
    rows: NDArray[np.int64]
    """(n,) first frames; each i has i + K < num_steps."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What the model says; rows that could not be decoded have code -1 and vector 0."""

    latent: NDArray[np.float32]
    """(n, k, d) codebook vectors."""
    codes: NDArray[np.int16]
    """(n, k)."""
    unreadable: NDArray[np.bool_]
    """(n,)."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Which frames go through the model for which row."""

    frames: NDArray[np.int64]
    """(w, t) frame numbers."""
    window: NDArray[np.int64]
    """(n,) the window that holds a row's pair."""
    position: NDArray[np.int64]
    """(n,) which pair of that window it is."""
    needed: NDArray[np.int64]
    """Every frame number in `frames` once, in order."""
    local: NDArray[np.int64]
    """(w, t) indices into `needed`."""


def frames_seen(lam: "Lam", past_frames: bool) -> int:
    """Count the frames of a window: as many as the model takes in, or the two of one latent action."""
    return lam.config.num_frames if past_frames else 2


def cut_windows(wanted: Wanted, num_frames: int) -> Windows:
    """Cut the windows that `Lam.encode` reads when it is given the clip p, p + K, p + 2K ... to the episode's end.

    The pair at position j of that clip is the last one of a window that starts `num_frames - 2` positions before, or at
    the clip's start. Attention is causal in time: a clip shorter than a window may be filled up with its last frame.
    """
    phase, position = wanted.rows % wanted.stride, wanted.rows // wanted.stride
    begin = np.maximum(position - (num_frames - 2), 0)
    first, window = np.unique(phase + begin * wanted.stride, return_inverse=True)
    last = first + (wanted.num_steps - 1 - first) // wanted.stride * wanted.stride
    frames = np.minimum(first[:, None] + wanted.stride * np.arange(num_frames), last[:, None])
    needed, local = np.unique(frames, return_inverse=True)
    return Windows(
        frames=frames,
        window=window.reshape(-1),
        position=position - begin,
        needed=needed,
        local=local.reshape(frames.shape),
    )


def pieces(wanted: Wanted, num_rows: int = CHUNK_FRAMES) -> list[Wanted]:
    """Cut a long episode's rows up, so that its frames need not all be in memory; the latent actions stay the same."""
    return [replace(wanted, rows=wanted.rows[i : i + num_rows]) for i in range(0, len(wanted.rows), num_rows)]


def windows_at_once(lam: "Lam", batch: int) -> int:
    """Say how many windows go through the model together: `batch`, on a CPU perhaps fewer."""
    if lam.mean.device.type != "cpu":
        return batch
    c = lam.config
    num_bytes = c.num_frames * c.num_patches * int(c.mlp_ratio * c.encoder_width) * 4
    return max(min(batch, CPU_BYTES // num_bytes), 1)


def encode_windows(
    lam: "Lam", pixels: NDArray[np.uint8], index: NDArray[np.int64], batch: int
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Encode windows (w, t) of frames (f, side, side, 3): codebook vectors (w, t-1, k, d) and codes (w, t-1, k).

    Every frame is embedded once, not once for each window that it is in.
    """
    import torch

    shape = (0, index.shape[1] - 1, lam.config.num_slots)
    latent, codes = [np.zeros((*shape, lam.config.latent_dim), np.float32)], [np.zeros(shape, np.int16)]
    if len(index):
        device = lam.mean.device
        video = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2)
        frames = torch.cat([lam.embed(some) for some in video.split(FRAMES_AT_ONCE)])
        for some in torch.from_numpy(index).to(device).split(windows_at_once(lam, batch)):
            encoded = lam.encode_embedded(frames[some])
            latent.append(encoded.quantized.float().cpu().numpy())
            codes.append(encoded.codes.cpu().numpy().astype(np.int16))
    return np.concatenate(latent), np.concatenate(codes)


class Encoder:
    """Runs one latent action model over many episodes, batched across them."""

    def __init__(
        self,
        corpus: Corpus,
        lam: "Lam",
        *,
        slot: str,
        batch: int = 64,
        threads: int = 2,
        past_frames: bool = True,
        precision: Precision = "fp32",
    ) -> None:
        self.corpus, self.lam, self.slot, self.batch = corpus, lam, slot, batch
        self.num_frames = frames_seen(lam, past_frames)
        self.precision = precision
        self._to_compare = 0 if precision == "fp32" else COMPARED_WINDOWS
        self._compared = CodesCompared()
        self._decoders = ThreadPoolExecutor(threads, "decode")
        self._ahead = ThreadPoolExecutor(1, "read-ahead")

    def close(self) -> None:
        """Stop the threads."""
        self._ahead.shutdown(cancel_futures=True)
        self._decoders.shutdown(cancel_futures=True)

    def encode(self, wanted: Iterable[Wanted]) -> Iterator[Encoded]:
        """Encode what is asked for, in order."""
        chunks = _chunks((one, cut_windows(one, self.num_frames)) for one in wanted)
        chunk = next(chunks, None)
        decoded = self._ahead.submit(self._decode, chunk) if chunk else None
        while chunk is not None and decoded is not None:
            pixels, readable = decoded.result()
            following = next(chunks, None)
            decoded = self._ahead.submit(self._decode, following) if following else None
            yield from self._encode_chunk(chunk, pixels, readable)
            chunk = following

    def _decode(self, chunk: "Chunk") -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read and decode frames (f, side, side, 3), scaled as in training; False marks broken ones."""
        side = self.lam.config.resolution
        names = [one.episode_id for one, _ in chunk]
        frames = [(name, int(f)) for name, (_, windows) in zip(names, chunk, strict=True) for f in windows.needed]
        jpegs = self.corpus.jpegs(self.slot, frames)
        pixels = np.zeros((len(jpegs), side, side, 3), dtype=np.uint8)
        readable = np.ones(len(jpegs), dtype=bool)

        def decode_some(first: int) -> None:
            for i in range(first, min(first + DECODE_TOGETHER, len(jpegs))):
                try:
                    decode_into(jpegs[i], pixels[i])
                except ValueError:  # a broken JPEG
                    readable[i] = False

        list(self._decoders.map(decode_some, range(0, len(jpegs), DECODE_TOGETHER)))
        return pixels, readable

    def _encode_chunk(
        self, chunk: "Chunk", pixels: NDArray[np.uint8], readable: NDArray[np.bool_]
    ) -> Iterator[Encoded]:
        """Run a chunk's windows through the model and hand each episode its rows."""
        begins = np.cumsum([0, *(len(windows.needed) for _, windows in chunk)])
        index = np.concatenate([begin + windows.local for begin, (_, windows) in zip(begins, chunk, strict=False)])
        all_latent, all_codes = encode_windows(self.lam, pixels, index, self.batch)
        self._compare(pixels, index[: self._to_compare], all_codes)
        # a latent action looks at its pair and at what came before, never at what follows
        broken = np.logical_or.accumulate(~readable[index], axis=1)
        first = 0
        for _, windows in chunk:
            window = first + windows.window
            first += len(windows.frames)
            unreadable = broken[window, windows.position + 1]
            yield Encoded(
                latent=np.where(unreadable[:, None, None], 0.0, all_latent[window, windows.position]).astype(
                    np.float32
                ),
                codes=np.where(unreadable[:, None], NO_CODE, all_codes[window, windows.position]).astype(np.int16),
                unreadable=unreadable,
            )

    def _compare(self, pixels: NDArray[np.uint8], index: NDArray[np.int64], codes: NDArray[np.int16]) -> None:
        """Encode some windows again in float32, and count the codes that differ."""
        if not len(index):
            return
        set_precision(self.lam, "fp32")
        try:
            _, exact = encode_windows(self.lam, pixels, index, self.batch)
        finally:
            set_precision(self.lam, self.precision)
        self._to_compare -= len(index)
        self._compared += CodesCompared(exact.size, int((exact != codes[: len(exact)]).sum()))

    def take_compared(self) -> CodesCompared:
        """Give what was counted since the last time."""
        compared, self._compared = self._compared, CodesCompared()
        return compared


Chunk = list[tuple[Wanted, Windows]]


def _chunks(work: Iterable[tuple[Wanted, Windows]]) -> Iterator[Chunk]:
    """Put neighbours together until a chunk has enough frames."""
    chunk: Chunk = []
    num_frames = 0
    for one, windows in work:
        chunk.append((one, windows))
        num_frames += len(windows.needed)
        if num_frames >= CHUNK_FRAMES:
            yield chunk
            chunk, num_frames = [], 0
    if chunk:
        yield chunk
