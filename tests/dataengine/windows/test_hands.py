"""Hands of people as states and actions: seen from the camera, moved without it, absent where they are."""

from dataclasses import replace

import numpy as np
import pytest

from dataengine.hands import Hand, Hands, Side, geometry
from dataengine.windows.hands import HandStatistics, vectors
from dataengine.windows.normalize import Normalizer
from tests.support.hands import before_camera, camera_poses, hand_points, in_world, some_hands

STEPS = 12


def seen(points: dict[Side, np.ndarray], camera: np.ndarray | None = None) -> Hands:
    sides = {}
    for side, one in points.items():
        present = np.isfinite(one).all(axis=(1, 2))
        sides[side] = Hand(
            present=present,
            confidence=np.full(len(one), np.nan, np.float32),
            keypoints=one.astype(np.float32),
            wrist=geometry.wrist_pose(one, side),
        )
    poses = None if camera is None else geometry.poses(camera)
    return Hands(
        sides=sides, source="tracker", estimated=False, frame="camera" if camera is None else "world", camera=poses
    )


def test_a_state_is_the_wrist_before_the_camera_wherever_that_is() -> None:
    points = before_camera("right", STEPS)
    still, moving = seen({"right": points}), seen({"right": in_world(points, camera_poses(STEPS))}, camera_poses(STEPS))
    state, _ = vectors(still)  # type: ignore[misc]
    assert state.shape == (STEPS, 14)
    assert np.isnan(state[:, :7]).all()
    right, down, forward = points[:, 0].T
    np.testing.assert_allclose(state[:, 7:10], np.stack([forward, -right, -down], axis=1), atol=1e-5)
    np.testing.assert_allclose(state[:, 10:13], 0, atol=0.03)  # points forward, palm down
    np.testing.assert_allclose(state[:, 13], geometry.opening(points)[0], rtol=1e-5)
    np.testing.assert_allclose(vectors(moving)[0], state, atol=1e-4)  # type: ignore[index]


def test_an_action_leaves_the_motion_of_the_camera_out() -> None:
    poses = camera_poses(STEPS)
    fixed = np.tile(hand_points("right"), (STEPS, 1, 1)) + np.array([0.3, 0.2, 0.1])
    _, action = vectors(seen({"right": fixed}, poses))  # type: ignore[misc]
    np.testing.assert_allclose(action[:-1, 7:13], 0, atol=1e-5)
    pushed = fixed + np.arange(STEPS)[:, None, None] * np.array([0.01, 0, 0])
    _, action = vectors(seen({"right": pushed}, poses))  # type: ignore[misc]
    np.testing.assert_allclose(action[:-1, 7:10], poses[:-1, 0, [2, 0, 1]] * [0.01, -0.01, -0.01], atol=1e-5)
    assert np.isnan(action[-1]).all()
    np.testing.assert_allclose(action[:-1, 13], geometry.opening(pushed)[0][1:], rtol=1e-5)


def test_what_is_absent_is_not_a_number_and_a_gap_ends_the_action_before_it() -> None:
    points = before_camera("left", STEPS)
    points[4] = np.nan
    state, action = vectors(seen({"left": points}))  # type: ignore[misc]
    assert np.flatnonzero(np.isnan(state[:, 0])).tolist() == [4]
    assert np.flatnonzero(np.isnan(action[:, 0])).tolist() == [3, 4, 11]
    assert np.isnan(state[:, 7:]).all()


def test_a_wrist_without_points_tells_all_but_the_opening_and_without_a_rotation_where_it_is() -> None:
    given = seen({side: before_camera(side, STEPS) for side in ("left", "right")})  # type: ignore[misc]
    whole = vectors(given)
    sides = {side: replace(hand, keypoints=None) for side, hand in given.sides.items()}
    sides["left"].wrist[:, 3:] = np.nan  # type: ignore[index]
    felt = vectors(replace(given, source="mano", sides=sides))
    assert whole is not None
    assert felt is not None
    for one, all_of_it in zip(felt, whole, strict=True):
        known = np.array([*range(3), *range(7, 13)])
        np.testing.assert_array_equal(one[:, known], all_of_it[:, known])
        assert np.isnan(np.delete(one, known, axis=1)).all()
    measured = HandStatistics()
    measured.add("mano", felt)
    done = measured.statistics()
    assert done is not None
    known_state = Normalizer({"human_hand": done}).normalize("human_hand", "state", whole[0], "mano")[:, known]
    assert np.abs(known_state).max() <= 1.5


@pytest.mark.parametrize(
    "hands",
    [
        replace(some_hands(5), frame="world"),
        replace(some_hands(5), frame=None),
        some_hands(5).take(np.full(5, -1)),
        Hands(sides={}, source="tracker", estimated=False, frame="camera"),
    ],
)
def test_hands_that_do_not_tell_it_give_nothing(hands: Hands) -> None:
    assert vectors(hands) is None


def test_statistics_measure_each_side_by_itself_and_each_dataset() -> None:
    both = vectors(seen({"left": before_camera("left", STEPS), "right": before_camera("right", STEPS)}))
    right = vectors(seen({"right": before_camera("right", STEPS) + np.array([0.1, 0, 0])}))
    assert both is not None
    assert right is not None
    gathered = HandStatistics()
    assert gathered.statistics() is None
    gathered.add("two", both)
    gathered.add("one", right)
    done = gathered.statistics()
    assert done is not None
    assert (done.num_episodes, done.datasets, done.state.grippers) == (2, ("one", "two"), (6, 13))
    np.testing.assert_allclose(done.state.min[[0, 7]], [0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(done.state.min[8], -0.22, atol=1e-6)
    np.testing.assert_allclose(done.by_dataset["one"].state.min[[1, 8]], [0.0, -0.22], atol=1e-6)
    normalised = Normalizer({"human_hand": done}).normalize("human_hand", "state", both[0], "two")
    assert np.isfinite(normalised).all()
    assert np.abs(normalised).max() <= 1.5
