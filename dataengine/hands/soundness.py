"""Whether hands are what their source takes them for: joints in our order, sides not swapped, in front of the camera.

None of this needs a person to look: bones have lengths, knuckles an order, fingers curl towards the palm, and what a
headset's camera saw lies in front of it. Limits are those of a real hand, a centimetre wider: few files were measured.
"""

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.hands.geometry import back_of_hand, in_picture
from dataengine.hands.hands import SHAPES, Hand, Hands, Side
from dataengine.hands.orders import FINGERS, INDEX_MCP, LITTLE_MCP, MIDDLE_MCP, RING_MCP, WRIST

KNUCKLE_M = (0.06, 0.13)
"""From the wrist to the first joint of a finger."""
BONE_M = (0.01, 0.07)
"""Of a finger, between two joints."""
PALM_M = (0.03, 0.11)
"""From the first knuckle of the index finger to that of the little finger."""
CURLED_M = 0.01
"""Tips lie at least this far out of the palm's plane where a hand tells its side."""
LEAST_IN_FRONT = 0.5
"""Share of the wrists that lie in front of the camera; a tracker also sees hands beside the picture."""
LEAST_IN_PICTURE = 0.2
LEAST_CONFIDENCE = 0.5
"""Less sure wrists are not held against the picture; where nobody says how sure they are, all are."""
FARTHEST_M = 1000.0
"""No recording leads this far from where it began; farther out it is millimetres."""
FARTHEST_SHARE = 100.0
"""Pictures beside the picture that a point may lie in; farther out it is pixels."""
MOST_STEPS = 2000
"""Of a video that are looked at, evenly spaced."""


def check(hands: Hands) -> None:
    """Raise RecordError that says which test hands fail, and with which number; absent hands pass."""
    steps = np.unique(np.linspace(0, hands.num_steps - 1, MOST_STEPS).astype(int)) if hands.num_steps else np.zeros(0)
    some = hands.take(steps.astype(int))
    for side, hand in some.sides.items():
        if not hand.present.any():
            continue
        if hand.keypoints is not None:
            _check_bones(side, hand)
            _check_side(side, hand)
        if hand.keypoints_2d is not None:
            _check_picture(side, hand.keypoints_2d[hand.present].astype(np.float64))
    _check_view(some)


def check_numbers(hands: Hands, num_steps: int) -> None:
    """Raise RecordError unless shapes, types and units are those of `Hands`, and what is absent is NaN."""
    for side, hand in hands.sides.items():
        if hand.present.shape != (num_steps,) or hand.present.dtype != bool:
            raise RecordError(f"{side} hand: present is {hand.present.shape}, expected ({num_steps},) of bool")
        for name, values in hand.numbers().items():
            _check_array(f"{side} hand: {name}", values, (num_steps, *SHAPES[name]))
            if not np.isnan(values[~hand.present]).all():
                raise RecordError(f"{side} hand: {name} has numbers where the hand is absent, expected NaN")
        _check_units(side, hand)
    if hands.camera is not None:
        _check_array("camera of hands", hands.camera, (num_steps, 7))


def _check_array(name: str, values: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if values.shape != shape or values.dtype != np.float32:
        raise RecordError(f"{name} is {values.dtype} {values.shape}, expected float32 {shape}")
    if np.isinf(values).any():
        raise RecordError(f"{name} is infinite at some step, expected NaN where it is unknown")


def _check_units(side: Side, hand: Hand) -> None:
    confidence = hand.confidence[np.isfinite(hand.confidence)]
    if len(confidence) and not (confidence.min() >= 0 and confidence.max() <= 1):
        raise RecordError(
            f"{side} hand: confidence is {confidence.min():.3g} to {confidence.max():.3g}, expected 0 to 1"
        )
    for name, farthest, unit in (
        ("wrist", FARTHEST_M, "m"),
        ("keypoints", FARTHEST_M, "m"),
        ("keypoints_2d", FARTHEST_SHARE, "of the picture"),
        ("box", FARTHEST_SHARE, "of the picture"),
    ):
        values = hand.numbers().get(name, np.zeros(0))
        most = np.abs(values[np.isfinite(values)]).max(initial=0.0)
        if most > farthest:
            raise RecordError(f"{side} hand: {name} lies {most:.4g} {unit} away, expected {farthest:g} at most")


def _check_bones(side: Side, hand: Hand) -> None:
    points = _seen(hand)
    knuckles = [_apart(points, WRIST, finger) for finger in FINGERS]
    bones = [_apart(points, finger + i, finger + i + 1) for finger in FINGERS for i in range(3)]
    palm = _apart(points, INDEX_MCP, LITTLE_MCP)
    for what, lengths, (least, most) in (
        ("wrist to knuckle", knuckles, KNUCKLE_M),
        ("a bone of a finger", bones, BONE_M),
        ("index to little knuckle", [palm], PALM_M),
    ):
        off = [length for length in lengths if not least <= length <= most]
        if off:
            raise RecordError(
                f"{side} hand: {what} is {off[0]:.3f} m, expected {least:g} to {most:g}; joints in another order or "
                "unit?"
            )
    near, middle = _apart(points, INDEX_MCP, MIDDLE_MCP), _apart(points, INDEX_MCP, RING_MCP)
    if not near < middle < palm:
        raise RecordError(
            f"{side} hand: middle, ring and little knuckle are {near:.3f}, {middle:.3f} and {palm:.3f} m from the "
            "index finger's, expected them to rise; fingers swapped?"
        )


def _check_side(side: Side, hand: Hand) -> None:
    """Tell sides by the way in which fingers curl; a hand that stays flat tells nothing."""
    if side == "unknown":
        return
    points = _seen(hand)
    back = back_of_hand(points, side)
    back /= np.linalg.norm(back, axis=-1, keepdims=True)
    out_m = np.stack([((points[:, f + 3] - points[:, f]) * back).sum(axis=-1) for f in FINGERS]).mean(axis=0)
    curled = out_m[np.abs(out_m) > CURLED_M]
    if len(curled) and np.median(curled) > 0:
        raise RecordError(
            f"{side} hand: fingers curl to the back of the hand, by {np.median(curled):.3f} m; left and right swapped, "
            "or mirrored?"
        )


def _check_picture(side: Side, points: NDArray[np.float64]) -> None:
    """Look for the wrist of points (n, 21, 2) where it must be: farther from the knuckles than they from each other."""
    points = points[np.isfinite(points).all(axis=(1, 2))]
    if not len(points):
        raise RecordError(f"{side} hand is present at some steps, but never with all of its joints")
    away = float(np.median([np.linalg.norm(points[:, f] - points[:, WRIST], axis=-1) for f in FINGERS]))
    apart = _apart(points, INDEX_MCP, MIDDLE_MCP)
    if not away > apart:
        raise RecordError(
            f"{side} hand: knuckles lie {away:.3f} of the picture from the wrist and {apart:.3f} from each other, "
            "expected the wrist farther; joints in another order?"
        )


def _check_view(hands: Hands) -> None:
    """Look whether wrists in metres that are trusted lie before the camera, of both sides together.

    A tracker also guesses at a hand that rests beside the picture for a whole recording, and says how unsure it is.
    """
    seen = [_trusted_views(hands, side) for side, hand in hands.sides.items() if hand.keypoints_2d is None]
    points = np.concatenate([np.zeros((0, 2)), *seen])
    if not len(points):
        return
    before = np.isfinite(points).all(axis=1)
    inside = before & (np.abs(points - 0.5) <= 0.5).all(axis=1)
    if before.mean() < LEAST_IN_FRONT:
        raise RecordError(
            f"{before.mean():.0%} of the wrists lie in front of the camera, expected {LEAST_IN_FRONT:.0%}; other axes?"
        )
    if inside.mean() < LEAST_IN_PICTURE:
        raise RecordError(
            f"{inside.mean():.0%} of the wrists fall into the picture, expected {LEAST_IN_PICTURE:.0%}; other axes or "
            "lens?"
        )


def _trusted_views(hands: Hands, side: Side) -> NDArray[np.float64]:
    """Give where (n, 2) a wrist is in the picture at steps at which it is sure to be somewhere."""
    hand, points = hands.sides[side], in_picture(hands, side)
    if points is None:
        return np.zeros((0, 2))
    known = hand.present & ~(hand.confidence < LEAST_CONFIDENCE)
    return points[known & (True if hands.camera is None else np.isfinite(hands.camera).all(axis=1))]


def _seen(hand: Hand) -> NDArray[np.float64]:
    """Give the points (n, 21, 3) of steps at which the hand is there with all of them."""
    assert hand.keypoints is not None
    points = hand.keypoints[hand.present].astype(np.float64)
    whole = points[np.isfinite(points).all(axis=(1, 2))]
    if not len(whole):
        raise RecordError("a hand is present at some steps, but never with all of its joints")
    return whole


def _apart(points: NDArray, a: int, b: int) -> float:
    return float(np.median(np.linalg.norm(points[:, a] - points[:, b], axis=-1)))
