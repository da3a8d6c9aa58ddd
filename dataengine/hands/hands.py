"""The nouns: a Hand by side, the Hands of an episode or a video, the Lens that saw them, a Track by time.

21 keypoints come in the order of MediaPipe, which MANO's layers give too: wrist, then thumb, index, middle, ring and
little finger, each from the palm to the tip. The frame "camera" has x to the right, y down and z forward (OpenCV);
"world" is whatever the tracker of that recording stood its axes on: never compare worlds of two recordings. Numbers of
a hand that is absent are NaN, never 0: 0 is a place, and a closed hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dataengine.framing import Placing

NUM_KEYPOINTS = 21

SHAPES = {
    "confidence": (),
    "wrist": (7,),
    "keypoints": (NUM_KEYPOINTS, 3),
    "keypoints_2d": (NUM_KEYPOINTS, 2),
    "box": (4,),
}
"""What a hand has of each step beside whether it is there."""

Side = Literal["left", "right", "unknown"]
"""Whose hand it is, as its owner would say; `unknown` where a publisher tells of one hand and not of which."""
SIDES: tuple[Side, ...] = get_args(Side)

Frame = Literal["camera", "world"]

HandSource = Literal["tracker", "mano", "annotators", "detector"]
"""Sensors of a headset; a model of the hand fitted to several views or depth; people; a network that saw pictures."""

TELLERS: Mapping[HandSource, str] = {
    "tracker": "a tracker",
    "mano": "a fitted model of the hand",
    "annotators": "annotators",
    "detector": "a detector",
}
FORMS = {"keypoints": "21 points", "keypoints_2d": "21 points", "wrist": "the wrist", "box": "boxes"}

LensModel = Literal["pinhole", "fisheye"]
LENS_MODELS: tuple[LensModel, ...] = get_args(LensModel)


@dataclass(frozen=True)
class Lens:
    """Intrinsics of a camera, in shares of the shown picture's width and height: no matter how it was scaled."""

    fx: float
    fy: float
    cx: float
    cy: float
    model: LensModel = "pinhole"
    distortion: tuple[float, ...] = ()
    """k1 to k4 of OpenCV's fisheye; pictures of a pinhole are taken to be straight."""

    def placed(self, placing: Placing) -> "Lens":
        """Tell the lens of a picture that was cropped or padded."""
        (sx, sy), (ox, oy) = placing.scale, placing.offset
        return replace(self, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx + ox, cy=self.cy * sy + oy)


@dataclass(frozen=True, kw_only=True)
class Hand:
    """One hand at t steps; float32 but for `present`."""

    present: NDArray[np.bool_]
    """(t,) whether the publisher has it there, in the picture or beside it."""
    confidence: NDArray[np.float32]
    """(t,) 0 to 1; NaN where it is absent, or where nobody says."""
    wrist: NDArray[np.float32] | None = None
    """(t, 7) metres and quaternion xyzw."""
    keypoints: NDArray[np.float32] | None = None
    """(t, 21, 3) metres."""
    keypoints_2d: NDArray[np.float32] | None = None
    """(t, 21, 2) shares of the shown picture's width and height; beyond 0 to 1 they lie beside it."""
    box: NDArray[np.float32] | None = None
    """(t, 4) left, top, right, bottom in the same shares."""

    def take(self, rows: NDArray[np.integer[Any]]) -> "Hand":
        """Take the hand at some rows; at row -1 it is absent."""
        present = self.present[rows] & (rows >= 0)
        return Hand(
            present=present,
            **{name: _absent(values[rows], ~present) for name, values in self.numbers().items()},
        )

    def numbers(self) -> dict[str, NDArray[np.float32]]:
        """Give what is there beside `present`, by name."""
        return {name: value for name in SHAPES if (value := getattr(self, name)) is not None}

    def placed(self, placing: Placing) -> "Hand":
        """Move what is told in shares of a picture that was cropped or padded."""
        points = None if self.keypoints_2d is None else placing.apply(self.keypoints_2d).astype(np.float32)
        box = None if self.box is None else placing.apply(self.box.reshape(-1, 2, 2)).reshape(-1, 4).astype(np.float32)
        return replace(self, keypoints_2d=points, box=box)


@dataclass(frozen=True, kw_only=True)
class Hands:
    """The hands of t steps, all told in the same way."""

    sides: Mapping[Side, Hand]
    """By side; one that the publisher never tells of is not in it."""
    source: HandSource
    estimated: bool
    """A network guessed them from pictures alone."""
    frame: Frame | None = None
    """Of `wrist` and `keypoints`; None where there are numbers of the picture only."""
    lens: Lens | None = None
    camera: NDArray[np.float32] | None = None
    """(t, 7) pose of the camera in the world, its axes as above: metres and quaternion xyzw; NaN where unknown."""

    @property
    def left(self) -> Hand | None:
        """The left hand."""
        return self.sides.get("left")

    @property
    def right(self) -> Hand | None:
        """The right hand."""
        return self.sides.get("right")

    @property
    def num_steps(self) -> int:
        """Steps of every side; 0 without any."""
        return max((len(hand.present) for hand in self.sides.values()), default=0)

    def presence(self) -> dict[Side, float]:
        """Tell at which share of the steps each side is present."""
        return {side: float(hand.present.mean()) if len(hand.present) else 0.0 for side, hand in self.sides.items()}

    def about(self) -> str:
        """Say in words who tells of the hands, and what."""
        there = {name for hand in self.sides.values() for name in hand.numbers()}
        what = dict.fromkeys(form for name, form in FORMS.items() if name in there)
        where = f"in metres in the frame of the {self.frame}" if self.frame else "in the picture"
        by = f"{'estimated ' if self.estimated else ''}by {TELLERS[self.source]}"
        return f"{' and '.join(what) or 'presence'} {where}, {by}"

    def take(self, rows: NDArray[np.integer[Any]]) -> "Hands":
        """Take the hands at some rows; at row -1 all are absent."""
        camera = None if self.camera is None else _absent(self.camera[rows], rows < 0)
        return replace(self, sides={side: hand.take(rows) for side, hand in self.sides.items()}, camera=camera)

    def placed(self, placing: Placing) -> "Hands":
        """Follow a picture that was cropped or padded; what is told in metres stays."""
        lens = None if self.lens is None else self.lens.placed(placing)
        return replace(self, sides={side: hand.placed(placing) for side, hand in self.sides.items()}, lens=lens)


@dataclass(frozen=True, kw_only=True)
class Track:
    """The hands of a whole video, at the times that the publisher tells of."""

    hands: Hands
    time_s: NDArray[np.float64]
    """(n,) seconds after the start of the video, ascending, of at least one row; row i of `hands` was seen then."""
    slack_s: float
    """A row this far from a picture does not tell of it."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Of every clip of the video: what was counted or is doubtful."""

    def at(self, time_s: NDArray[np.float64]) -> Hands:
        """Take for each picture, shown at (t,) seconds after the start of the video, the row nearest to it in time."""
        after = np.clip(np.searchsorted(self.time_s, time_s), 0, len(self.time_s) - 1)
        before = np.maximum(after - 1, 0)
        is_before = time_s - self.time_s[before] <= self.time_s[after] - time_s
        rows = np.where(is_before, before, after)
        return self.hands.take(np.where(np.abs(self.time_s[rows] - time_s) <= self.slack_s, rows, -1))


def _absent(values: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Make rows NaN; `values` is a copy of its own."""
    values[where] = np.nan
    return values
