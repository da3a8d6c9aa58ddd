"""Rotations against scipy; gripper rules by what they must do."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dataengine import conventions as c

RNG = np.random.default_rng(0)
RANDOM = Rotation.random(2000, random_state=1)
HALF_TURNS = Rotation.from_rotvec(np.pi * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0], [0.6, 0, 0.8]]))
TINY = Rotation.from_rotvec(RNG.normal(size=(50, 3)) * 1e-9)
ALL = Rotation.concatenate([RANDOM, HALF_TURNS, TINY, Rotation.identity(1)])


def same(matrix: np.ndarray, rotation: Rotation, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(matrix, rotation.as_matrix(), atol=tolerance)


def test_rotations_agree_with_scipy() -> None:
    same(c.quaternion_to_matrix(ALL.as_quat() * 3.0), ALL)
    same(c.euler_to_matrix(ALL.as_euler("xyz")), ALL)
    same(c.axis_angle_to_matrix(ALL.as_rotvec()), ALL)
    np.testing.assert_allclose(c.matrix_to_euler(RANDOM.as_matrix()), RANDOM.as_euler("xyz"), atol=1e-7)
    np.testing.assert_allclose(c.quaternion_to_euler(RANDOM.as_quat()), RANDOM.as_euler("xyz"), atol=1e-7)


def test_there_and_back_is_the_identity_even_for_half_turns() -> None:
    same(c.euler_to_matrix(c.matrix_to_euler(ALL.as_matrix())), ALL, 1e-7)


R2, R3 = np.sqrt(2) / 2, np.sqrt(3) / 2


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (c.quaternion_to_matrix([0, 0, R2, R2]), [[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
        (c.quaternion_to_matrix([1, 1, 1, 1]), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),  # a third of a turn about (1, 1, 1)
        (c.axis_angle_to_matrix([np.pi / 3, 0, 0]), [[1, 0, 0], [0, 0.5, -R3], [0, R3, 0.5]]),
        (c.axis_angle_to_matrix([0, 0, 0]), np.eye(3)),
        (c.euler_to_matrix([0, 0, np.pi / 3]), [[0.5, -R3, 0], [R3, 0.5, 0], [0, 0, 1]]),
        (c.euler_to_matrix([np.pi / 2, 0, np.pi / 2]), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
        (c.matrix_to_euler([[0, 0, 1], [1, 0, 0], [0, 1, 0]]), [np.pi / 2, 0, np.pi / 2]),
        (c.quaternion_to_euler([0, np.sin(0.2), 0, np.cos(0.2)]), [0, 0.4, 0]),
        (c.axis_angle_to_euler([0, 0, -3]), [0, 0, -3]),
    ],
)
def test_turns_whose_numbers_are_known_are_exact(actual: np.ndarray, expected: object) -> None:
    np.testing.assert_allclose(actual, expected, atol=1e-12, rtol=0)


def test_a_matrix_is_read_as_it_is_stored_and_what_is_no_rotation_is_no_number() -> None:
    stored = RANDOM.as_matrix().astype(np.float32)  # as datasets do: straightened first, its angles would be others
    with np.errstate(invalid="ignore"):
        yaw = np.arctan2(stored[:, 1, 0].astype(np.float64), stored[:, 0, 0].astype(np.float64))
        np.testing.assert_array_equal(c.matrix_to_euler(stored)[:, 2], yaw)
        assert np.isnan(c.quaternion_to_euler([0, 0, 0, 0])).all()  # the step is named by the check of the record


def test_where_roll_and_yaw_are_one_it_is_called_yaw() -> None:
    roll, _, yaw = c.matrix_to_euler(c.euler_to_matrix([0.3, np.pi / 2, 0.5]))
    assert roll == 0
    assert yaw == pytest.approx(0.2)


def test_a_pitch_of_ninety_degrees_keeps_the_rotation() -> None:
    euler = np.stack(
        [RNG.uniform(-3, 3, 100), RNG.choice([-np.pi / 2, np.pi / 2], 100), RNG.uniform(-3, 3, 100)], axis=1
    )
    matrix = c.euler_to_matrix(euler)
    np.testing.assert_allclose(c.euler_to_matrix(c.matrix_to_euler(matrix)), matrix, atol=1e-6)


def test_any_leading_dimensions_are_kept() -> None:
    quaternions = RANDOM.as_quat().reshape(20, 50, 2, 4)
    assert c.quaternion_to_euler(quaternions).shape == (20, 50, 2, 3)
    assert np.array_equal(c.quaternion_to_euler(quaternions[3, 4]), c.quaternion_to_euler(quaternions)[3, 4])


def test_wrapped_differences_never_jump_by_a_turn() -> None:
    np.testing.assert_allclose(c.wrap_angle([2 * np.pi + 0.1, -2 * np.pi - 0.1, 0.3, -0.3]), [0.1, -0.1, 0.3, -0.3])


def test_gripper_commands_become_zero_closed_one_open() -> None:
    np.testing.assert_allclose(c.open_from_closing([-1, 0, 1, 5]), [1, 0.5, 0, 0])
    np.testing.assert_allclose(c.open_from_opening([-1, 0, 1, 5]), [0, 0.5, 1, 1])


@pytest.mark.parametrize(
    ("commands", "openness"),
    [
        ([0, 0, 1, 0, 0, -1, 0], [1, 1, 0, 0, 0, 1, 1]),
        ([0.05, -1, 0, 1], [0, 1, 1, 0]),
        ([0, 0.1, -0.1], [1, 1, 1]),
        ([1], [0]),
    ],
)
def test_relative_gripper_commands_are_integrated(commands: list[float], openness: list[float]) -> None:
    assert c.open_from_relative(commands).tolist() == openness


@pytest.mark.parametrize(
    ("widths", "openness"),
    [
        ([1.0, 0.8, 0.4, 0.0, 0.3, 0.99], [1, 0, 0, 0, 1, 1]),
        ([1.0, 0.7], [1, 1]),
        ([0.0, 0.3], [0, 0]),
        ([], []),
    ],
)
def test_undecided_widths_take_the_next_decided_value(widths: list[float], openness: list[float]) -> None:
    assert c.open_by_look_ahead(widths).tolist() == openness


@pytest.mark.parametrize("axes", ["xyz", "zxy", "zyx", "ZYX", "XYZ", "ZXY"])
def test_angles_about_named_axes_turn_as_scipy_turns_them(axes: str) -> None:
    angles = np.random.default_rng(3).uniform(-1.5, 1.5, (4, 5, 3))
    expected = Rotation.from_euler(axes, angles.reshape(-1, 3)).as_matrix().reshape(4, 5, 3, 3)
    matrix = c.euler_to_matrix(c.euler_of_axes_to_euler(angles, axes))
    np.testing.assert_allclose(matrix, expected, atol=1e-6)


def test_the_motion_between_poses_leads_from_one_to_the_next() -> None:
    position, rotation = RNG.normal(size=(6, 3)), Rotation.random(6, random_state=4)
    motion = c.motion_between(np.hstack([position, rotation.as_euler("xyz")]))
    np.testing.assert_allclose(position[:-1] + motion[:, :3], position[1:], atol=1e-12)
    same(c.euler_to_matrix(motion[:, 3:]) @ rotation[:-1].as_matrix(), rotation[1:], 1e-6)
