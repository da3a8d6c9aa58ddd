"""Hands that are not what their source takes them for are told apart by bones, sides and the camera."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dataengine.errors import RecordError
from dataengine.hands import Hand, Hands, Lens, soundness
from tests.support.hands import some_hands


def changed(hands: Hands, change: Callable[[np.ndarray], np.ndarray]) -> Hands:
    sides = {}
    for side, hand in hands.sides.items():
        points = change(hand.keypoints.copy())  # type: ignore[union-attr]
        sides[side] = replace(hand, keypoints=points, wrist=None)
    return replace(hands, sides=sides)


def mixed(*joints: int) -> Callable[[np.ndarray], np.ndarray]:
    order = list(range(21))
    for a, b in zip(joints, [*joints[1:], joints[0]], strict=True):
        order[a] = b
    return lambda points: points[:, order]


def test_sound_hands_pass() -> None:
    soundness.check(some_hands(40, absent=7))
    soundness.check_numbers(some_hands(40, absent=7), 40)
    soundness.check(some_hands(5, absent=5))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (mixed(8, 12, 16, 20), "left hand: a bone of a finger is"),
        (lambda p: p[:, [*range(13), *range(17, 21), *range(13, 17)]], "fingers swapped?"),
        (lambda p: p * 1000, "joints in another order or unit?"),
        (lambda p: p * [-1, 1, 1], "left and right swapped, or mirrored?"),
        (lambda p: p * [1, -1, -1], "0% of the wrists lie in front of the camera"),
        (lambda p: p + np.array([9, 0, 0]), "0% of the wrists fall into the picture"),
    ],
)
def test_hands_that_are_not_ours_are_named(change: Callable[[np.ndarray], np.ndarray], said: str) -> None:
    with pytest.raises(RecordError, match=said.replace("?", r"\?")):
        soundness.check(changed(some_hands(40), change))


def bad(**numbers: np.ndarray) -> Hands:
    present = np.ones(4, bool)
    hand = Hand(present=present, confidence=np.full(4, np.nan, np.float32), box=np.zeros((4, 4), np.float32))
    return Hands(sides={"right": replace(hand, **numbers)}, source="detector", estimated=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hands", "said"),
    [
        (bad(present=np.ones(3, bool)), r"present is \(3,\), expected \(4,\) of bool"),
        (bad(box=np.zeros((4, 3), np.float32)), r"box is float32 \(4, 3\)"),
        (bad(box=np.zeros((4, 4))), "box is float64"),
        (bad(present=np.arange(4) > 0), "box has numbers where the hand is absent"),
        (bad(confidence=np.full(4, 2, np.float32)), "confidence is 2 to 2, expected 0 to 1"),
        (bad(keypoints_2d=np.full((4, 21, 2), 640, np.float32)), "keypoints_2d lies 640 of the picture away"),
        (bad(wrist=np.full((4, 7), 5000, np.float32)), "wrist lies 5000 m away"),
        (bad(wrist=np.full((4, 7), np.inf, np.float32)), "wrist is infinite"),
        (replace(bad(), camera=np.zeros((4, 6), np.float32)), "camera of hands is float32"),
    ],
)
def test_numbers_of_another_shape_or_unit_are_refused(hands: Hands, said: str) -> None:
    soundness.check_numbers(bad(), 4)
    with pytest.raises(RecordError, match=said):
        soundness.check_numbers(hands, 4)


def test_a_lens_without_the_camera_s_pose_judges_nothing() -> None:
    soundness.check(replace(some_hands(10), frame="world", lens=Lens(1, 1, 0.5, 0.5)))


def test_a_hand_that_rests_beside_the_picture_costs_nothing() -> None:
    hands = some_hands(40)
    away = changed(hands, lambda p: p + np.array([0, 5, 0])).sides["left"]
    unsure = replace(away, confidence=np.full(40, 0.1, np.float32))
    soundness.check(replace(hands, sides={"left": unsure, "right": hands.sides["right"]}))
    soundness.check(replace(hands, sides={"left": away, "right": hands.sides["right"]}))
    soundness.check(replace(hands, sides={"left": unsure}))
    with pytest.raises(RecordError, match="0% of the wrists fall into the picture"):
        soundness.check(replace(hands, sides={"left": away}))
