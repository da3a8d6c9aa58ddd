"""One wrist frame for all sources, openings, orders of joints, and where a lens sees a point."""

from typing import Literal

import numpy as np
import pytest

from dataengine.conventions import axis_angle_to_matrix, matrix_to_quaternion, quaternion_to_matrix
from dataengine.hands import Lens, geometry, orders
from tests.support.hands import ROTATION, before_camera, hand_points


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_wrist_frame_follows_from_points_alone(side: Literal["left", "right"]) -> None:
    pose = geometry.wrist_pose(before_camera(side, 3), side)
    assert pose.dtype == np.float32
    np.testing.assert_allclose(pose[:, :3], before_camera(side, 3)[:, 0], atol=1e-6)
    matrix = quaternion_to_matrix(pose[0, 3:])
    np.testing.assert_allclose(matrix[:, 2], ROTATION[:, 2], atol=1e-6)  # out of the back on both sides
    assert matrix[:, 0] @ ROTATION[:, 0] > 0.99
    np.testing.assert_allclose(np.linalg.det(matrix), 1.0)


def test_points_on_a_line_or_of_an_unknown_side_give_no_rotation() -> None:
    line = np.linspace(0, 1, 21)[:, None] * [0.2, 0.0, 0.0]
    assert np.isnan(geometry.wrist_pose(line, "right")[3:]).all()
    assert np.isnan(geometry.wrist_pose(hand_points("right"), "unknown")[3:]).all()


def test_matrices_and_quaternions_undo_each_other_at_every_turn() -> None:
    turns = np.random.default_rng(0).normal(size=(200, 3)) * 3
    turns[:3] = np.pi * np.eye(3)
    matrix = axis_angle_to_matrix(turns)
    quaternion = matrix_to_quaternion(matrix)
    np.testing.assert_allclose(quaternion_to_matrix(quaternion), matrix, atol=1e-9)
    assert (quaternion[:, 3] >= 0).all()
    assert np.isnan(matrix_to_quaternion(np.full((3, 3), np.nan))).all()


def test_an_opening_is_relative_to_the_palm_and_absent_hands_have_none() -> None:
    hand = np.tile(hand_points("right"), (4, 1, 1))
    palm = np.linalg.norm(hand[0, 9])
    for step, distance in enumerate((0.2 * palm, 0.6 * palm, 2 * palm)):
        hand[step, orders.THUMB_TIP] = hand[step, orders.INDEX_TIP] + [0, 0, distance]
    hand[3] = np.nan
    openness, tips_m = geometry.opening(hand)
    np.testing.assert_allclose(openness, [0, 0.5, 1, np.nan], atol=1e-6)
    np.testing.assert_allclose(tips_m, [0.2 * palm, 0.6 * palm, 2 * palm, np.nan], rtol=1e-6)


@pytest.mark.parametrize(
    ("order", "num_joints"), [(orders.ARKIT, 27), (orders.OPENXR, 26), (orders.SMPLX, 21), (orders.ARIA, 21)]
)
def test_an_order_takes_each_joint_once(order: tuple[int, ...], num_joints: int) -> None:
    taken = [joint for joint in order if joint != orders.NOT_THERE]
    assert len(order) == 21
    assert len(set(taken)) == len(taken)
    assert max(taken) < num_joints
    joints = np.arange(num_joints)[:, None] * np.ones(3)
    points = orders.ordered(joints, order)
    assert [x if np.isfinite(x) else -1 for x in points[:, 0]] == list(order)


def test_orders_follow_the_names() -> None:
    mano = ["wrist", *(f"{f}{i}" for f in ("index", "middle", "little", "ring", "thumb") for i in range(3))]
    mano += [f"{f}3" for f in ("thumb", "index", "middle", "ring", "little")]
    fingers = ["wrist", *(f"{f}{i}" for f in ("thumb", "index", "middle", "ring", "little") for i in range(4))]
    assert [mano[i] for i in orders.SMPLX] == fingers
    assert orders.apple_names("left")[:6] == (
        "leftHand", "leftThumbKnuckle", "leftThumbIntermediateBase", "leftThumbIntermediateTip", "leftThumbTip",
        "leftIndexFingerKnuckle",
    )  # fmt: skip
    assert orders.apple_names("right")[20] == "rightLittleFingerTip"


def test_a_lens_sees_points_before_it_only() -> None:
    lens = Lens(0.5, 1.0, 0.5, 0.4)
    points = np.array([[0.0, 0.0, 1.0], [0.5, 0.1, 2.0], [0.1, 0.1, -1.0]])
    np.testing.assert_allclose(geometry.project(points, lens), [[0.5, 0.4], [0.625, 0.45], [np.nan, np.nan]])
    fisheye = Lens(0.5, 0.5, 0.5, 0.5, "fisheye", (0.0, 0.0, 0.0, 0.0))
    np.testing.assert_allclose(geometry.project(np.array([1.0, 0.0, 1.0]), fisheye), [0.5 + 0.5 * np.pi / 4, 0.5])


def test_points_of_the_world_are_told_from_the_camera() -> None:
    pose = np.array([[1.0, 2.0, 3.0, *matrix_to_quaternion(ROTATION)]], np.float32)
    seen = np.array([[[0.1, 0.2, 0.5]]])
    world = seen @ ROTATION.T + [1, 2, 3]
    np.testing.assert_allclose(geometry.in_camera(world, "world", pose), seen, atol=1e-6)
