"""What AgiBot World's numbers and texts become, and those that make no sense."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from scipy.spatial.transform import Rotation

from dataengine.episode import Episode, Reject, Text
from tests.support.agibot_read import read_all
from tests.support.agibot_tree import EMPTY, TASK, Arrays, N, proprio, write_h5


def with_arrays(root: Path, edit: Callable[[Arrays], None], effectors: int = 2) -> list[Episode | Reject]:
    """Rewrite the first episode's numbers and read everything; the second episode must always arrive."""
    arrays = proprio(0, effectors)
    edit(arrays)
    write_h5(root, "648642", arrays)
    first, second = read_all(root)
    assert isinstance(second, Episode)
    return [first]


def test_poses_grippers_and_clock_become_canonical(root: Path) -> None:
    raw = proprio(0)
    episode = read_all(root)[0]
    state, action = episode.state.reshape(N, 2, 7), episode.action.reshape(N, 2, 7)
    np.testing.assert_allclose(state[..., :3], raw["state/end/position"], rtol=1e-6)
    expected = Rotation.from_quat(raw["state/end/orientation"].reshape(-1, 4)).as_euler("xyz").reshape(N, 2, 3)
    np.testing.assert_allclose(state[..., 3:6], expected, atol=1e-5)
    closing = raw["action/effector/position"]
    np.testing.assert_allclose(state[..., 6], 1 - (closing * 110 + 5) / 120, atol=1e-6)
    np.testing.assert_array_equal(action[..., 6], 1 - closing)
    np.testing.assert_array_equal(action[:-1, :, :6], state[1:, :, :6])
    np.testing.assert_array_equal(action[-1, :, :6], state[-1, :, :6])
    assert episode.time_ns.tolist() == [33_333_333 * i for i in range(N)]
    assert (episode.embodiment, episode.control_hz, episode.kind, episode.state_encoding) == (
        "agibot_g1",
        30.0,
        "robot",
        "eef_pose",
    )
    assert episode.notes["action_source"] == "next_state"
    assert episode.notes["action_equals_state"] == "1.000"
    assert episode.notes["gripper_polarity"] == "larger is closed"


def test_raw_vectors_keep_the_publishers_numbers_in_the_published_order(root: Path) -> None:
    raw = proprio(1)
    episode = read_all(root)[1]
    parts = ("joint", "effector", "head", "waist")
    state = np.concatenate([raw[f"state/{part}/position"] for part in parts], axis=1)
    action = [raw[f"action/{part}/position"] for part in parts] + [raw["action/robot/velocity"]]
    np.testing.assert_array_equal(episode.raw_state, state)
    np.testing.assert_array_equal(episode.raw_action, np.concatenate(action, axis=1))
    assert (episode.raw_state.shape[1], episode.raw_action.shape[1]) == (20, 22)


def test_cameras_land_in_their_slots_at_the_rate_of_the_numbers(root: Path) -> None:
    episode = read_all(root, frame_size=64)[0]
    for slot, first_level in (("primary", 0), ("wrist_2", 40), ("wrist", 80)):
        frames = episode.cameras[slot]
        levels = [simplejpeg.decode_jpeg(data).mean() for data in frames.jpegs]
        np.testing.assert_allclose(levels, [first_level + 8 * i for i in range(N)], atol=3)
        assert (frames.height, frames.width, frames.native_height, frames.native_width) == (64, 64, 96, 128)


def test_texts_arrive_with_segments_clipped_to_the_episode(root: Path) -> None:
    episode = read_all(root)[0]
    assert episode.instruction == ["Tidy the table", "Pick up the cup.", "Put it down."]
    assert list(episode.texts) == [
        Text(0, N, ("Tidy the table",)),
        Text(2, 6, ("Pick up the cup.",)),
        Text(6, N, ("Put it down.",)),
    ]
    assert episode.notes["scene"] == "A cup stands on a table."
    assert json.loads(episode.notes["segments"]) == [
        {"start": 2, "end": 6, "text": "Pick up the cup.", "skill": "Pick"},
        {"start": 6, "end": N, "text": "Put it down.", "skill": "Location"},
    ]


def test_hands_are_an_embodiment_of_their_own(root: Path) -> None:
    videos = root / "observations" / TASK / "648642" / "videos"
    for side in ("left", "right"):
        (videos / f"hand_{side}_color.mp4").rename(videos / f"hand_{side}_fisheye_color.mp4")
    (episode,) = with_arrays(root, lambda arrays: None, effectors=12)
    assert episode.embodiment == "agibot_g1_dexhand"
    assert [getattr(episode, name).shape[1] for name in ("state", "action", "raw_state", "raw_action")] == [
        12,
        12,
        30,
        32,
    ]
    assert sorted(episode.cameras) == ["primary", "wrist", "wrist_2"]
    np.testing.assert_allclose(episode.state.reshape(N, 2, 6)[..., :3], proprio(0, 12)["state/end/position"], rtol=1e-6)


def test_the_grippers_polarity_follows_its_command(root: Path) -> None:
    def opening(arrays: Arrays) -> None:
        arrays["state/effector/position"] = 120 - arrays["state/effector/position"]

    (episode,) = with_arrays(root, opening)
    assert episode.notes["gripper_polarity"] == "larger is open"
    np.testing.assert_allclose(episode.state[:, 6], read_all(root)[1].state[:, 6], atol=1e-6)

    def still(arrays: Arrays) -> None:
        arrays["action/effector/position"] = np.zeros((N, 2))

    (episode,) = with_arrays(root, still)
    assert episode.notes["gripper_polarity"] == "larger is closed (assumed)"

    def astray(arrays: Arrays) -> None:
        arrays["action/effector/position"] = np.tile([[0.0, 1.0], [1.0, 0.0]], (N // 2, 1))

    (episode,) = with_arrays(root, astray)
    assert abs(float(episode.notes["gripper_correlation"])) < 0.2
    assert episode.notes["gripper_polarity"] == "larger is closed (assumed)"


def test_a_gripper_that_never_moves_leaves_the_polarity_to_the_other(root: Path) -> None:
    def one_hand(arrays: Arrays) -> None:
        arrays["state/effector/position"][:, 0] = 60
        arrays["state/effector/position"][:, 1] = 125 - arrays["state/effector/position"][:, 1]

    (episode,) = with_arrays(root, one_hand)
    assert episode.notes["gripper_polarity"] == "larger is open"
    np.testing.assert_allclose(episode.state[:, 6], 0.5)
    assert episode.notes["gripper_source"] == "command"


def test_openings_beyond_the_range_are_clipped_and_noted(root: Path) -> None:
    def beyond(arrays: Arrays) -> None:
        arrays["state/effector/position"] += np.where(arrays["state/effector/position"] > 60, 20, -10)

    (episode,) = with_arrays(root, beyond)
    assert episode.notes["gripper_clipped"] == "-5.0 to 135.0 mm"
    assert (episode.state[:, 6].min(), episode.state[:, 6].max()) == (0, 1)
    assert episode.raw_state[:, 14:16].max() == 135


def test_actions_that_are_commands_are_kept(root: Path) -> None:
    def commanded(arrays: Arrays) -> None:
        arrays["action/end/position"] = arrays["state/end/position"] + 0.01

    (episode,) = with_arrays(root, commanded)
    assert (episode.notes["action_source"], episode.notes["action_equals_state"]) == ("command", "0.000")
    np.testing.assert_allclose(episode.action[:, :3], episode.state[:, :3] + 0.01, atol=1e-6)


def test_commands_of_some_steps_are_placed_by_their_index(root: Path) -> None:
    def sparse(arrays: Arrays) -> None:
        arrays["action/effector/position"] = np.ones((2, 2))
        arrays["action/effector/index"] = np.array([3, 5])
        arrays["action/joint/position"] = np.full((N - 2, 14), 7.0)

    (episode,) = with_arrays(root, sparse)
    raw = proprio(0)
    assert np.flatnonzero((episode.raw_action[:, 14:16] == 1.0).all(axis=1)).tolist() == [3, 5]
    np.testing.assert_allclose(episode.raw_action[0, 14:16], raw["state/effector/position"][0] / 120, rtol=1e-6)
    assert (episode.raw_action[2:, :14] == 7).all()
    np.testing.assert_allclose(episode.raw_action[:2, :14], raw["state/joint/position"][:2], rtol=1e-6)
    assert episode.notes["action_effector_placed"] == f"2 commands at 2 of {N} steps"


def test_more_commands_than_steps_are_placed_by_their_index_the_last_of_a_step_counts(root: Path) -> None:
    def doubled(arrays: Arrays) -> None:
        arrays["action/effector/position"] = np.linspace(0, 1, N + 1)[:, None].repeat(2, axis=1)
        arrays["action/effector/index"] = np.array([0, *range(N)])

    (episode,) = with_arrays(root, doubled)
    np.testing.assert_allclose(episode.raw_action[:, 14], np.linspace(0, 1, N + 1)[1:], rtol=1e-6)
    assert episode.notes["action_effector_placed"] == f"{N + 1} commands at {N} of {N} steps"


def test_end_commands_of_some_steps_count_when_most_differ_from_the_state(root: Path) -> None:
    def sparse(arrays: Arrays) -> None:
        arrays["action/end/position"] = arrays["state/end/position"][2:] + 0.5
        arrays["action/end/orientation"] = arrays["state/end/orientation"][2:]

    (episode,) = with_arrays(root, sparse)
    moved = episode.action.reshape(N, 2, 7)[..., 0] - episode.state.reshape(N, 2, 7)[..., 0]
    np.testing.assert_allclose(moved, [[0, 0]] * 2 + [[0.5, 0.5]] * (N - 2), atol=1e-6)
    assert episode.notes["action_source"] == "command"
    assert episode.notes["action_end_placed"] == f"{N - 2} commands at {N - 2} of {N} steps"


def test_gripper_commands_that_repeat_the_state_give_way_to_the_next_state(root: Path) -> None:
    def copied(arrays: Arrays) -> None:
        arrays["action/effector/position"] = arrays["state/effector/position"] / 120

    (episode,) = with_arrays(root, copied)
    assert episode.notes["gripper_source"] == "next_state"
    np.testing.assert_array_equal(episode.action[:-1, 6], episode.state[1:, 6])


def test_actions_and_parts_that_are_not_there_are_stood_in_for_and_noted(root: Path) -> None:
    def bare(arrays: Arrays) -> None:
        for key in list(arrays):
            if key.startswith("action/"):
                arrays[key] = EMPTY
        arrays["state/waist/position"] = np.ones((N, 1))
        del arrays["state/head/position"]
        arrays["timestamp"][4] = arrays["timestamp"][3]

    (episode,) = with_arrays(root, bare)
    assert episode.notes["action_absent"] == "joint effector head waist robot"
    assert (episode.notes["waist_missing"], episode.notes["head_missing"]) == (
        f"shape ({N}, 1), NaN in its place",
        "shape (0,), NaN in its place",
    )
    np.testing.assert_array_equal(episode.action[:-1], episode.state[1:])
    assert np.isnan(episode.raw_state[:, 16:]).all()
    assert np.isnan(episode.raw_action).all()
    assert episode.time_ns[:3].tolist() == [0, 33_333_333, 66_666_667]
    assert "clock" in episode.notes


def longer(arrays: Arrays) -> None:
    arrays["action/effector/position"] = np.zeros((N + 3, 2))


def bad_index(arrays: Arrays) -> None:
    arrays["action/effector/position"], arrays["action/effector/index"] = np.zeros((2, 2)), np.array([1, N])


def no_index(arrays: Arrays) -> None:
    arrays["action/effector/position"], arrays["action/effector/index"] = np.zeros((2, 2)), np.array([1])


def nan(arrays: Arrays) -> None:
    arrays["state/end/position"][3, 1, 0] = np.nan


def infinite(arrays: Arrays) -> None:
    arrays["action/effector/position"] = np.full((N, 2), np.inf)


def texts(arrays: Arrays) -> None:
    arrays["state/head/position"] = np.array(["left"] * N, dtype=object)


def no_rotation(arrays: Arrays) -> None:
    arrays["state/end/orientation"][5] = 0


def ragged(arrays: Arrays) -> None:
    arrays["state/end/position"] = arrays["state/end/position"][:-1]


def other_body(arrays: Arrays) -> None:
    arrays["state/joint/position"] = np.zeros((N, 34))


def nothing(arrays: Arrays) -> None:
    arrays["state/joint/position"] = np.zeros((0, 14))


def test_gaps_of_joints_head_and_waist_are_kept_raw_for_no_pose_is_made_of_them(root: Path) -> None:
    def edit(arrays: Arrays) -> None:
        arrays["state/joint/position"][3, 1] = np.nan
        arrays["state/waist/position"][:, 0] = np.inf
        arrays["action/joint/position"] = np.full((N, 14), np.inf)

    (episode,) = with_arrays(root, edit)
    assert isinstance(episode, Episode)
    assert np.isfinite(episode.state).all()
    assert np.isfinite(episode.action).all()
    assert np.argwhere(np.isnan(episode.raw_state)).tolist() == [[3, 1]]
    assert np.isinf(episode.raw_action[:, :14]).all()


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (longer, "action/effector has 15 rows and 12 indices for 12 steps of state"),
        (bad_index, "action/effector/index runs from 1 to 12, expected 0 to 11"),
        (no_index, "action/effector has 2 rows and 1 indices for 12 steps"),
        (nan, "'state/end/position'[3, 1, 0] is nan, expected a finite number"),
        (no_rotation, "state/end/orientation[5] is no rotation: norm 0, expected 1"),
        (ragged, "'state/end/position' has shape (11, 2, 3), expected (12, 2, 3) as in state/joint/position"),
        (other_body, "'state/joint/position' has shape (12, 34), expected (12, 14)"),
        (nothing, "the episode has no steps"),
        (infinite, "'action/effector/position'[0, 0] is inf, expected a finite number"),
        (texts, "proprio_stats.h5: '/state/head/position' holds object, expected numbers"),
        (lambda a: a.pop("state/end/orientation"), "proprio_stats.h5: key 'state/end/orientation' is missing"),
        (lambda a: a.update(timestamp=a["timestamp"][:5]), "timestamp has shape (5,) for 12 steps of state"),
    ],
)
def test_numbers_that_make_no_sense_reject_the_episode(root: Path, edit: Callable[[Arrays], None], reason: str) -> None:
    (reject,) = with_arrays(root, edit)
    assert isinstance(reject, Reject)
    assert reject.record == f"{TASK}/648642"
    assert reject.reason.startswith(reason)
    assert "\n" not in reject.reason
