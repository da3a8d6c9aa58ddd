"""MediaPipe's hand landmarker on the pictures of a clip, in a process of its own that says nothing.

Its libraries write to stderr whatever they are told. It follows hands from picture to picture, so that each clip gets a
landmarker of its own. From version 1.0 on its sides are those of the hands' owner in pictures that are not mirrored.
"""

import importlib.metadata
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dataengine.errors import DataEngineError
from dataengine.formats import jpeg
from dataengine.hands.detected import Detection
from dataengine.runners.interrupts import ignore_interrupts
from dataengine.store import Corpus

LEAST_VERSION = 1
"""Older ones call sides by other rules, and want an older protobuf than we do."""
PARTS = frozenset({"hand_detector.tflite", "hand_landmarks_detector.tflite"})
TOGETHER = 256
"""Encoded pictures in memory."""
SIDES = {"Left": "left", "Right": "right"}


@dataclass(frozen=True)
class Clip:
    """What is to be looked at."""

    corpus: str
    slot: str
    episode_id: str
    time_ms: tuple[int, ...]
    """Of each picture; they rise."""
    model: str


def check(model: Path) -> str:
    """Give the version of MediaPipe; raise DataEngineError where it or its model is missing."""
    try:
        version = importlib.metadata.version("mediapipe")
    except importlib.metadata.PackageNotFoundError as error:
        raise DataEngineError(
            "hands are estimated by MediaPipe, which is not installed: pip install 'villa-engine[hands]'"
        ) from error
    if int(version.partition(".")[0]) < LEAST_VERSION:
        raise DataEngineError(
            f"found mediapipe {version}, expected {LEAST_VERSION}.0 or later; pip install -U mediapipe"
        )
    if not model.is_file():
        raise DataEngineError(f"{model}: no such file; download hand_landmarker.task of MediaPipe's Hand Landmarker")
    names = set(zipfile.ZipFile(model).namelist()) if zipfile.is_zipfile(model) else set()
    if not names >= PARTS:
        raise DataEngineError(
            f"{model}: found no {' and '.join(sorted(PARTS))}, expected MediaPipe's hand_landmarker.task"
        )
    return version


def begin() -> None:
    """Prepare a process: Ctrl-C is for its parent, and what libraries print is for nobody."""
    ignore_interrupts()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def look(clip: Clip) -> list[list[Detection]] | str:
    """Find the hands in each picture; in words, what is wrong with a clip that cannot be looked at."""
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.HandLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=clip.model), num_hands=2, running_mode=vision.RunningMode.VIDEO
    )
    seen = []
    with vision.HandLandmarker.create_from_options(options) as landmarker:
        try:
            for time_ms, picture in zip(clip.time_ms, _pictures(clip), strict=True):
                image = Image(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(picture))
                seen.append(detections(landmarker.detect_for_video(image, time_ms)))
        except (ValueError, DataEngineError) as error:
            return " ".join(str(error).split())
    return seen


def detections(result: Any) -> list[Detection]:
    """Read a `HandLandmarkerResult`."""
    return [
        Detection(SIDES[side[0].category_name], side[0].score, np.array([[p.x, p.y] for p in points], np.float32))  # type: ignore[arg-type]
        for side, points in zip(result.handedness, result.hand_landmarks, strict=True)
    ]


def _pictures(clip: Clip) -> Iterator[Any]:
    count = len(clip.time_ms)
    for first in range(0, count, TOGETHER):
        steps = range(first, min(first + TOGETHER, count))
        for data in _open(clip.corpus).jpegs(clip.slot, [(clip.episode_id, step) for step in steps]):
            yield jpeg.decode(bytes(data))


@cache
def _open(uri: str) -> Corpus:
    return Corpus.open(uri)
