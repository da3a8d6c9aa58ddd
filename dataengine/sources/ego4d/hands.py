"""Ego4D's hands (fho_hands_{train,val}.json): where annotators saw each hand, in a few frames of an action.

clips[] > frames[] > pre_45, pre_30, pre_15, pre_frame, contact_frame, pnr_frame, post_frame
frame                                             of the canonical video, 30 in a second  -> time
boxes  [{left_hand: [x, y]}, {right_hand: ...}]   pixels                                  -> box without extent

The points travel with the plan of their video: no worker reads the file again. Between the annotated frames nothing is
known, which a note says; a hand is `present` in annotated frames alone.

Doubtful: no text that was read says what the numbers are; the publisher's own reader takes two of them for a place.
They are taken for pixels of the size that ego4d.json states (or of the full-scale video), and refused beyond it.
Entries of another form are left out.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dataengine.errors import RecordError
from dataengine.hands import Hand, Hands, Side, Track
from dataengine.sources.ego4d import tables

FILES = ("fho_hands_train.json", "fho_hands_val.json")
RATE_HZ = 30.0
SLACK_S = 0.05
"""A picture so far from an annotated frame has its hands: half the distance of pictures at 10 Hz."""
KEYS: dict[str, Side] = {"left_hand": "left", "right_hand": "right"}
POINTS, SIZE = "hands", "size"
"""Options of a video's plan: its points, and width and height that ego4d.json states."""
NOTES = {
    "hands_sparse": "annotators marked a few frames of each action; elsewhere nothing is known",
    "hands_doubt": "points are taken for pixels of the full picture, and are boxes without extent",
}


def by_video(folders: Iterable[Path]) -> dict[str, str]:
    """Read all files that are there; give each video's points as text."""
    by_uid: dict[str, list[tuple[int, str, float, float]]] = {}
    for folder in folders:
        for name in FILES:
            if (folder / name).is_file():
                for clip in tables.hands(folder / name):
                    by_uid.setdefault(clip.video_uid, []).extend(_points(clip))
    return {video: json.dumps(sorted(set(points))) for video, points in by_uid.items() if points}


def _points(clip: tables.HandClip) -> Iterator[tuple[int, str, float, float]]:
    """Yield (frame, key, x, y) of what has this form."""
    for action in clip.frames or []:
        for moment in action.values():
            frame = moment.get("frame") if isinstance(moment, dict) else None
            boxes = moment.get("boxes") if isinstance(moment, dict) else None
            if not isinstance(frame, int) or not isinstance(boxes, list):
                continue
            for box in boxes:
                for key, at in box.items() if isinstance(box, dict) else ():
                    if key in KEYS and isinstance(at, list) and len(at) == 2 and all(map(_is_number, at)):
                        yield frame, key, float(at[0]), float(at[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def track(points: str, width: float, height: float) -> Track:
    """Make the hands of a video whose full picture has so many pixels; raise RecordError where points lie beside it."""
    pixels = json.loads(points)
    frames = np.unique([frame for frame, *_ in pixels])
    boxes = {side: np.full((len(frames), 4), np.nan, np.float32) for side in KEYS.values()}
    for frame, key, x, y in pixels:
        if not (0 <= x <= width and 0 <= y <= height):
            raise RecordError(
                f"fho_hands: a hand at {x:g}, {y:g} in frame {frame} lies beside the picture of {width:g}x{height:g}"
            )
        boxes[KEYS[key]][np.searchsorted(frames, frame)] = np.array([x, y, x, y]) / [width, height, width, height]
    unknown = np.full(len(frames), np.nan, np.float32)
    sides = {
        side: Hand(present=np.isfinite(box[:, 0]), confidence=unknown.copy(), box=box) for side, box in boxes.items()
    }
    hands = Hands(sides=sides, source="annotators", estimated=False)
    return Track(hands=hands, time_s=frames / RATE_HZ, slack_s=SLACK_S, notes=NOTES)
