"""The sets of villa-X's mixture: what a real tfds builder wrote in a published schema, in house units."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from openx_writer import Stored, write_openx
from scipy.spatial.transform import Rotation

from dataengine import catalog
from dataengine.episode import Episode, Reject

T = 6
RNG = np.random.default_rng(7)
ORANGE, TEAL = (230, 120, 20), (20, 140, 150)
RELATIVE = np.array([0, 1, 0, 0, -1, 0], np.float32)
"""Commands +1 close, -1 open, 0 hold; OPEN is what they make of the gripper."""
OPEN = [1, 0, 0, 0, 1, 1]


def patch(colour: tuple[int, int, int], size: tuple[int, int] = (16, 24)) -> np.ndarray:
    """Flat pictures, of one colour."""
    return np.full((T, *size, 3), colour, np.uint8)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=(T, *shape)).astype(np.float32)


def turns() -> np.ndarray:
    """Unit quaternions xyzw."""
    return Rotation.random(T, random_state=int(RNG.integers(1000))).as_quat().astype(np.float32)


def roll_pitch_yaw(quaternion: np.ndarray) -> np.ndarray:
    return Rotation.from_quat(quaternion).as_euler("xyz")


def read_all(name: str, root: Path, **options: Any) -> list[Episode | Reject]:
    source = catalog.source(f"openx/{name}")(str(root), **options)
    return [found for part in source.parts() for found in source.read(part)]


def read_one(name: str, folder: Path, steps: Mapping[str, Any], **options: Any) -> Episode:
    """Write one episode and read it back."""
    root = write_openx(folder, name, steps, episode=options.pop("episode", None))
    (episode,) = read_all(name, root, **options)
    assert isinstance(episode, Episode), episode
    return episode


def shows(episode: Episode, **colours: tuple[int, int, int]) -> None:
    """Check which cameras there are, and that each shows its flat colour in every step."""
    assert sorted(episode.cameras) == sorted(colours)
    for slot, colour in colours.items():
        frames = episode.cameras[slot].jpegs
        assert len(frames) == episode.num_steps
        for jpeg in (frames[0], frames[-1]):
            assert np.abs(simplejpeg.decode_jpeg(jpeg).mean((0, 1)) - colour).max() < 4, (slot, colour)


def is_close(found: np.ndarray | None, *expected: Any) -> None:
    """Check a (t, n) vector against columns side by side."""
    side_by_side = np.concatenate([np.reshape(part, (len(found), -1)) for part in expected], axis=1)
    np.testing.assert_allclose(found, side_by_side, atol=2e-6)


# Published schemas, as small as they go: what is not read is there once, to be ignored.


def kuka() -> dict[str, Any]:
    return {
        "action": {
            "base_displacement_vector": numbers(2),
            "base_displacement_vertical_rotation": numbers(1),
            "gripper_closedness_action": RELATIVE[:, None],
            "rotation_delta": numbers(3),
            "terminate_episode": np.zeros((T, 3), np.int32),
            "world_vector": numbers(3),
        },
        "observation": {
            "clip_function_input/base_pose_tool_reached": Stored(np.hstack([numbers(3), turns()]), "zlib"),
            "clip_function_input/workspace_bounds": Stored(numbers(3, 3), "zlib"),
            "gripper_closed": Stored(np.linspace(0, 1, T, dtype=np.float32)[:, None], "zlib"),
            "height_to_bottom": Stored(numbers(1), "zlib"),
            "image": patch(ORANGE),
            "natural_language_instruction": "pick anything",
        },
    }


def taco_play(command: np.ndarray, width_m: np.ndarray) -> dict[str, Any]:
    relative = numbers(7)
    relative[:, 6] = command
    state = numbers(15)
    state[:, 6] = width_m
    return {
        "action": {
            "actions": numbers(7),
            "rel_actions_gripper": numbers(7),
            "rel_actions_world": relative,
            "terminate_episode": np.zeros(T, np.float32),
        },
        "observation": {
            "depth_static": numbers(4, 4),
            "natural_language_instruction": "open the drawer",
            "structured_language_instruction": "open_drawer",
            "rgb_gripper": patch(TEAL, (84, 84)),
            "rgb_static": patch(ORANGE),
            "robot_obs": state,
        },
    }


def jaco_play() -> dict[str, Any]:
    joints = numbers(8)
    joints[:, 6:] = np.radians(np.linspace(0, 80, T))[:, None]
    return {
        "action": {
            "gripper_closedness_action": RELATIVE[:, None],
            "terminate_episode": np.zeros((T, 3), np.int32),
            "world_vector": numbers(3),
        },
        "observation": {
            "end_effector_cartesian_pos": np.hstack([numbers(3), turns()]),
            "end_effector_cartesian_velocity": numbers(6),
            "image": patch(ORANGE),
            "image_wrist": patch(TEAL),
            "joint_pos": joints,
            "natural_language_instruction": "pick up the cup",
        },
    }


def test_kuka_inflates_its_pose_and_integrates_the_gripper(tmp_path: Path) -> None:
    steps = kuka()
    episode = read_one("kuka", tmp_path, steps, episode={"success": True})
    action = steps["action"]
    pose = steps["observation"]["clip_function_input/base_pose_tool_reached"].values
    closed = steps["observation"]["gripper_closed"].values
    is_close(episode.state, pose[:, :3], roll_pitch_yaw(pose[:, 3:]), 1 - closed)
    is_close(episode.action, action["world_vector"], action["rotation_delta"], OPEN)
    is_close(episode.raw_state, pose, closed)
    assert episode.raw_action.shape == (T, 13)
    assert (episode.control_hz, episode.instruction) == (10.0, ["pick anything"])
    shows(episode, primary=ORANGE)


def test_kuka_leaves_failures_out_unless_told_otherwise(tmp_path: Path) -> None:
    root = write_openx(tmp_path, "kuka", [kuka(), kuka()], episode=[{"success": True}, {"success": False}])
    found = read_all("kuka", root)
    assert sorted(type(item).__name__ for item in found) == ["Episode", "Reject"]
    (reject,) = [item for item in found if isinstance(item, Reject)]
    assert (reject.error, reject.reason) == ("FilteredRecordError", "the attempt failed (success is false)")
    assert [type(item) for item in read_all("kuka", root, keep_failures=True)] == [Episode, Episode]


CLOSING_M = np.array([0.08, 0.08, 0.06, 0.04, 0.03, 0.03], np.float32)
"""Width of a gripper that closes in the middle of an episode."""


@pytest.mark.parametrize(
    ("before_after", "width_m", "openness", "note"),
    [
        ((1, -1), CLOSING_M, [1, 0, 0, 0, 0, 0], "+1 opens (by the width)"),
        ((-1, 1), CLOSING_M, [1, 0, 0, 0, 0, 0], "+1 closes (by the width)"),
        ((1, 1), np.full(T, 0.02), [0, 0, 0, 0, 0, 0], "+1 closes (assumed)"),
    ],
)
def test_taco_asks_the_width_what_its_grippers_command_means(
    tmp_path: Path, before_after: tuple[int, int], width_m: np.ndarray, openness: list[int], note: str
) -> None:
    before, after = before_after
    steps = taco_play(np.array([before, *[after] * (T - 1)]), width_m)
    episode = read_one("taco_play", tmp_path, steps)
    assert episode.action[:, 6].tolist() == openness
    np.testing.assert_allclose(episode.state[:, 6], width_m / 0.08, atol=1e-6)
    assert episode.notes["gripper_polarity"] == note
    assert episode.notes["doubt"] == "scale of the motion; order of the angles"


def test_taco_reads_yaw_pitch_roll_or_as_told(tmp_path: Path) -> None:
    steps = taco_play(np.ones(T), np.full(T, 0.04))
    state, action = steps["observation"]["robot_obs"], steps["action"]["rel_actions_world"]
    root = write_openx(tmp_path, "taco_play", steps)
    (as_documented,), (as_told,) = (
        read_all("taco_play", root, **options) for options in ({}, {"angles": "roll-pitch-yaw"})
    )
    is_close(as_documented.state[:, :6], state[:, [0, 1, 2, 5, 4, 3]])
    is_close(as_documented.action[:, :6], action[:, [0, 1, 2, 5, 4, 3]])
    is_close(as_told.state[:, :6], state[:, :6])
    is_close(as_documented.raw_state, state)
    assert as_documented.raw_action.shape == (T, 22)
    assert (as_documented.control_hz, as_documented.instruction) == (15.0, ["open the drawer"])
    shows(as_documented, primary=ORANGE, wrist=TEAL)


def test_jaco_has_a_quaternion_where_loaders_see_angles_and_a_gripper(tmp_path: Path) -> None:
    steps = jaco_play()
    episode = read_one("jaco_play", tmp_path, steps)
    pose = steps["observation"]["end_effector_cartesian_pos"]
    is_close(episode.state, pose[:, :3], roll_pitch_yaw(pose[:, 3:]), np.linspace(1, 0, T))
    is_close(episode.action, steps["action"]["world_vector"], np.zeros((T, 3)), OPEN)
    assert (episode.raw_state.shape, episode.raw_action.shape) == ((T, 21), (T, 7))
    shows(episode, primary=ORANGE, wrist=TEAL)


def test_bridge_keeps_its_first_step_on_demand(tmp_path: Path) -> None:
    state = numbers(7)
    steps = {
        "action": numbers(7),
        "language_instruction": "",
        "observation": {**{f"image_{k}": patch(ORANGE) for k in range(4)}, "state": state},
    }
    root = write_openx(tmp_path, "bridge_dataset", steps)
    (usual,), (whole,) = (read_all("bridge_orig", root, keep_first_step=keep) for keep in (False, True))
    is_close(usual.raw_state, state[1:-1])
    is_close(whole.raw_state, state[:-1])
    is_close(whole.action[:, :3], np.diff(state[:, :3], axis=0))
    shows(whole, primary=ORANGE, secondary=ORANGE)
