"""What every episode must hold before it is written, whoever made it."""

import math
from collections.abc import Container, Mapping

import numpy as np

from dataengine.episode import CAMERA_SLOTS, CameraFrames, Episode, Text
from dataengine.errors import RecordError
from dataengine.formats.jpeg import Headers
from dataengine.hands import soundness
from dataengine.schema import CANONICAL, RAW

JPEG_START = b"\xff\xd8"


def check_episode(episode: Episode, dataset: str, embodiments: Container[str]) -> None:
    """Raise RecordError that says what is wrong with an episode."""
    steps = episode.num_steps
    if steps < 1:
        raise RecordError("found no steps, expected at least 1")
    if episode.dataset != dataset:
        raise RecordError(f"says dataset '{episode.dataset}', expected '{dataset}' as its part")
    if episode.embodiment not in embodiments:
        raise RecordError(f"embodiment '{episode.embodiment}' is not among those that its source declares")
    if not (math.isfinite(episode.control_hz) and episode.control_hz > 0):
        raise RecordError(f"control_hz is {episode.control_hz}, expected a positive rate")
    if np.any(np.diff(episode.time_ns) < 0):
        step = int(np.argmax(np.diff(episode.time_ns) < 0)) + 1
        raise RecordError(f"time_ns goes back at step {step}")
    for text in episode.texts:
        _check_text(text, steps)
    for name in CANONICAL:
        _check_vector(name, getattr(episode, name), steps)
    for name in RAW:
        _check_raw(name, getattr(episode, name), getattr(episode, f"{name}_exact"), steps)
    for slot, frames in episode.cameras.items():
        if slot not in CAMERA_SLOTS:
            raise RecordError(f"camera slot '{slot}' is unknown, expected one of {', '.join(CAMERA_SLOTS)}")
        _check_frames(slot, frames, steps)
    if episode.hands is not None:
        soundness.check_numbers(episode.hands, steps)


def _check_text(text: Text, steps: int) -> None:
    if not 0 <= text.start < text.end <= steps:
        raise RecordError(f"a text holds for steps {text.start} to {text.end}, expected some of its {steps} steps")
    if not text.phrases or not all(phrase.strip() for phrase in text.phrases):
        raise RecordError(f"a text of steps {text.start} to {text.end} says nothing: {text.phrases}")


def _check_shape(name: str, vector: np.ndarray, steps: int) -> None:
    if vector.ndim != 2 or len(vector) != steps or vector.shape[1] == 0:
        raise RecordError(f"{name} has shape {vector.shape}, expected ({steps}, d) for {steps} steps")


def _check_raw(name: str, vector: np.ndarray | None, exact: Mapping[int, np.ndarray], steps: int) -> None:
    """Let gaps of a sensor pass, for no model reads raw vectors."""
    if vector is None:
        if exact:
            raise RecordError(f"{name} is missing, found exact values of it")
        return
    _check_shape(name, vector, steps)
    if vector.dtype not in (np.float32, np.float64):
        raise RecordError(f"{name} is {vector.dtype}, expected float32 or float64")
    for i, whole in exact.items():
        if not 0 <= i < vector.shape[1] or whole.shape != (steps,) or whole.dtype != np.int64:
            raise RecordError(f"{name} has exact values {i} of {whole.dtype} {whole.shape}, expected int64 ({steps},)")


def _check_vector(name: str, vector: np.ndarray | None, steps: int) -> None:
    if vector is None:
        return
    _check_shape(name, vector, steps)
    if vector.dtype != np.float32:
        raise RecordError(f"{name} is {vector.dtype}, expected float32")
    finite = np.isfinite(vector).all(axis=1)
    if not finite.all():
        step = int(np.argmin(finite))
        raise RecordError(f"{name} is not finite at step {step}: {vector[step].tolist()}")


def _check_frames(slot: str, frames: CameraFrames, steps: int) -> None:
    if len(frames.jpegs) != steps:
        raise RecordError(f"camera {slot} has {len(frames.jpegs)} frames, expected {steps} as there are steps")
    headers = Headers()
    for i, jpeg in enumerate(frames.jpegs):
        if not jpeg.startswith(JPEG_START):
            raise RecordError(f"camera {slot}, frame {i} is no JPEG: starts with {jpeg[:4].hex() or 'nothing'}")
        try:
            height, width, _ = headers.read(jpeg)
        except ValueError as error:
            raise RecordError(f"camera {slot}, frame {i} is a damaged JPEG: {error}") from error
        if (height, width) != (frames.height, frames.width):
            size, wanted = f"{height}x{width}", f"{frames.height}x{frames.width}"
            raise RecordError(f"camera {slot}, frame {i} is {size}, expected {wanted} as its source says")
