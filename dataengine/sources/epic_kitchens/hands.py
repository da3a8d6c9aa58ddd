"""EPIC-KITCHENS' detections of hands (epic-kitchens-100-hand-object-bboxes): boxes that a network found.

P01/hand-objects/P01_01.pkl   beside `videos`, or hand-objects/P01/P01_01.pkl: a list of messages, one for each frame

message   1 video, 2 frame_number, 3 hands, 4 objects
hand      1 box, 2 score, 3 state, 4 offset, 5 side: 0 left, 1 right       -> confidence, side
box       1 left, 2 top, 3 right, 4 bottom, shares of the picture          -> box

frame_number counts from 1, 60 in a second in videos of 2018 (P01_01) and 50 in those of 2020 (P01_101), whatever the
rate of the video. What is 0 is not written. Boxes below a score of 0.5 are left out, as the publisher advises; of
several of one side, which may be of another person, the surest is kept. What a hand touches has no column.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.formats import files, npy, protobuf
from dataengine.hands import Hand, Hands, Side, Track

MAX_BYTES = 2**28
LEAST_SCORE = 0.5
SIDES: tuple[Side, ...] = ("left", "right")
LONGER_S = 2.0
"""Frames may go on for so long after the video, or end before it."""
VIDEO, FRAME, HAND = 1, 2, 3
BOX, SCORE, SIDE = 1, 2, 5


def rate_hz(video: str) -> float:
    """Tell on which clock a video's frames are counted: `P01_01` is of 2018, `P01_101` of 2020."""
    return 50.0 if len(video.rpartition("_")[2]) == len("101") else 60.0


def read(path: Path, video: str, duration_s: float) -> Track:
    """Read the detections of a video that lasts so long (0 where its header does not say).

    Raise RecordError when the file is damaged, of another video, or on another clock.
    """
    messages = npy.unpickled(files.read_bytes(path, MAX_BYTES))
    if not isinstance(messages, list) or not messages or not all(isinstance(each, bytes) for each in messages):
        raise RecordError(f"{path.name} holds {type(messages).__name__}, expected a list of messages")
    frames = np.zeros(len(messages))
    boxes = np.full((len(messages), len(SIDES), 5), np.nan, np.float32)  # box, score
    num_several = 0
    for i, message in enumerate(messages):
        try:
            frames[i], num_hands = _read_frame(message, video, boxes[i])
        except RecordError as error:
            raise RecordError(f"{path.name}, message {i}: {error}") from error
        num_several += num_hands > np.isfinite(boxes[i, :, 4]).sum()
    if np.any(np.diff(frames) <= 0):
        raise RecordError(f"{path.name}: frame numbers do not rise")
    rate = rate_hz(video)
    if duration_s and abs(frames[-1] / rate - duration_s) > LONGER_S:
        raise RecordError(
            f"{path.name}: {frames[-1]:.0f} frames at {rate:g} in a second last {frames[-1] / rate:.1f} s, the video "
            f"{duration_s:.1f} s"
        )
    hands = Hands(sides={side: _hand(boxes[:, i]) for i, side in enumerate(SIDES)}, source="detector", estimated=True)
    several = f"in {num_several} of {len(messages)} frames of the video one side was found twice; the surest is kept"
    notes = {"hands_of_others": several} if num_several else {}
    return Track(hands=hands, time_s=(frames - 1) / rate, slack_s=1.5 / rate, notes=notes)


def _read_frame(message: bytes, video: str, boxes: NDArray[np.float32]) -> tuple[int, int]:
    """Write the surest box of each side into (sides, 5); return the frame's number and how many hands it has."""
    number, num_hands = 0, 0
    for field, value in protobuf.fields(message):
        if field == FRAME and isinstance(value, int):
            number = value
        elif field == VIDEO and isinstance(value, bytes) and value.decode("utf-8", "replace") != video:
            raise RecordError(f"is of video {value[:40]!r}, expected {video}")
        elif field == HAND and isinstance(value, bytes):
            side, row = _read_hand(value)
            if row[4] < LEAST_SCORE:
                continue
            num_hands += 1
            if not row[4] <= boxes[side, 4]:
                boxes[side] = row
    return number, num_hands


def _read_hand(message: bytes) -> tuple[int, list[float]]:
    """Return the side, and left, top, right, bottom and score."""
    side, row = 0, [0.0] * 5
    for field, value in protobuf.fields(message):
        if field == BOX and isinstance(value, bytes):
            for corner, at in protobuf.fields(value):
                if 1 <= corner <= 4:
                    row[corner - 1] = protobuf.number(at)
        elif field == SCORE:
            row[4] = protobuf.number(value)
        elif field == SIDE:
            if value not in (0, 1):
                raise RecordError(f"a hand has side {value!r:.20}, expected 0 or 1")
            side = int(value)
    return side, row


def _hand(boxes: NDArray[np.float32]) -> Hand:
    return Hand(present=np.isfinite(boxes[:, 4]), confidence=boxes[:, 4].copy(), box=boxes[:, :4].copy())
