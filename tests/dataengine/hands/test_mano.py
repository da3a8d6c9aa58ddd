"""MANO's rotation becomes ours, and is held against the fingers in the picture."""

import numpy as np
import pytest

from dataengine.conventions import axis_angle_to_matrix, quaternion_to_matrix
from dataengine.hands import mano
from tests.support.hands import ROTATION, before_camera, hand_points


def test_a_hand_at_rest_points_along_minus_x_with_its_palm_down() -> None:
    matrix = quaternion_to_matrix(mano.turned_wrist(np.zeros(3)))
    np.testing.assert_allclose(matrix[:, 0], [-1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(matrix[:, 2], [0, 1, 0], atol=1e-6)
    turn = np.array([0.3, -0.2, 0.9])
    expected = axis_angle_to_matrix(turn) @ matrix
    np.testing.assert_allclose(quaternion_to_matrix(mano.turned_wrist(turn)), expected, atol=1e-6)


@pytest.mark.parametrize(("turned", "fits"), [((0, 0, 0), True), ((0, 0, 2.5), False), ((np.pi, 0, 0), False)])
def test_a_rotation_that_the_picture_contradicts_is_found(turned: tuple[float, float, float], fits: bool) -> None:
    tilt = axis_angle_to_matrix([0.9, 0.0, 0.0])  # fingers up in the picture, the back seen
    points = (hand_points("right") @ ROTATION.T @ tilt.T) + [0.0, 0.0, 0.5]
    pixels = points[:, :2] / points[:, 2:] * 1000
    axes = tilt @ ROTATION @ axis_angle_to_matrix(turned)
    rotation = mano.matrix_to_quaternion(axes)
    assert mano.agrees(np.tile(rotation, (5, 1)), np.tile(pixels, (5, 1, 1))) is fits


def test_nothing_told_is_no_contradiction() -> None:
    assert mano.agrees(np.full((3, 4), np.nan), np.full((3, 21, 2), np.nan))
    assert before_camera("right", 2).shape == (2, 21, 3)
