"""Latent actions of some frames of one episode: its labels where the same model wrote them, else read from pictures."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.window import EpisodeReader, LatentInfo, steps_per_latent
from pipelines.label.encode import Wanted, cut_windows, encode_windows, frames_seen
from pipelines.training.frames import decode_into

if TYPE_CHECKING:
    from models.lam import Lam

BATCH = 64
Pictures = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Gives frames (f, side, side, 3) of the model's size by their numbers (f,)."""


def info_of(reader: EpisodeReader, lam: "Lam", fingerprint: str) -> LatentInfo:
    """Say how latent actions are read: as the labels that this model wrote, else as `villa label` would by default."""
    known = (reader.latent_info(name) for name in reader.latents)
    made = LatentInfo(
        name="",
        fingerprint=fingerprint,
        k=lam.config.num_slots,
        d=lam.config.latent_dim,
        interval_s=lam.config.interval_s,
    )
    return next((info for info in known if info.fingerprint == fingerprint), made)


def labels_like(reader: EpisodeReader, info: LatentInfo) -> str:
    """Name the labels of the data that mean the same as `info`; empty where there are none."""
    wanted = (info.fingerprint, info.past_frames, info.interval_s)
    for name in reader.latents:
        known = reader.latent_info(name)
        if (known.fingerprint, known.past_frames, known.interval_s) == wanted:
            return name
    return ""


def read_rows(
    lam: "Lam", reader: EpisodeReader, episode: EpisodeInfo, rows: NDArray[np.int64], info: LatentInfo
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Give latent actions (n, k, d) and codes (n, k) at some first frames; -1 and 0 where labels have none.

    Raise ValueError for a picture that cannot be decoded, where it must be.
    """
    if name := labels_like(reader, info):
        latent, codes = reader.latent(episode.row, name)
        return latent[rows], codes[rows]

    def pictures(frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        side = lam.config.resolution
        pixels = np.zeros((len(frames), side, side, 3), np.uint8)
        for encoded, pixel in zip(
            reader.jpegs("primary", [(episode.row, int(f)) for f in frames]), pixels, strict=True
        ):
            decode_into(encoded, pixel)
        return pixels

    stride = steps_per_latent(episode.control_hz, info.interval_s)
    wanted = Wanted(episode_id=episode.episode_id, num_steps=episode.num_steps, stride=stride, rows=rows)
    return encode_rows(lam, wanted, pictures, past_frames=info.past_frames)


def encode_rows(
    lam: "Lam", wanted: Wanted, pictures: Pictures, *, past_frames: bool
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Give latent actions (n, k, d) and codes (n, k) of what is asked for, from its pictures."""
    if not len(wanted.rows):
        c = lam.config
        return np.zeros((0, c.num_slots, c.latent_dim), np.float32), np.zeros((0, c.num_slots), np.int16)
    windows = cut_windows(wanted, frames_seen(lam, past_frames))
    latent, codes = encode_windows(lam, pictures(windows.needed), windows.local, BATCH)
    return latent[windows.window, windows.position], codes[windows.window, windows.position]
