"""The sets of villa-X's mixture: what a real tfds builder wrote in a published schema, in house units."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from scipy.spatial.transform import Rotation

from dataengine import catalog
from dataengine.episode import Episode, Reject, Text
from dataengine.errors import SourceError
from tests.support.openx_mixture import (
    CLOSING_M,
    MADE,
    OPEN,
    ORANGE,
    TEAL,
    T,
    bc_z,
    cmu_stretch,
    dobbe,
    droid,
    edan,
    filed,
    fmb,
    furniture_bench,
    hydra,
    jaco_play,
    kuka,
    language_table,
    numbers,
    nyu_franka_play,
    patch,
    sailor,
    sirius,
    taco_play,
    ur5,
)
from tests.support.openx_writer import write_openx


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


def test_ur5_finds_its_pose_behind_the_joints_and_swaps_one_cameras_colours(tmp_path: Path) -> None:
    steps = ur5()
    episode = read_one("berkeley_autolab_ur5", tmp_path, steps)
    state, action = steps["observation"]["robot_state"], steps["action"]
    is_close(episode.state, state[:, 6:9], roll_pitch_yaw(state[:, 9:13]), 1 - state[:, 13])
    is_close(episode.action, action["world_vector"], action["rotation_delta"], OPEN)
    is_close(episode.raw_state, state)
    shows(episode, primary=ORANGE, wrist=TEAL)


def test_language_table_moves_in_a_plane_and_spells_its_instruction(tmp_path: Path) -> None:
    steps = language_table()
    episode = read_one("language_table", tmp_path, steps)
    is_close(episode.state, steps["observation"]["effector_translation"])
    is_close(episode.action, steps["action"])
    is_close(episode.raw_state[:, 2:], steps["observation"]["effector_target_translation"])
    assert episode.instruction == ["schiebe das grüne Herz", "stop"]
    shows(episode, primary=ORANGE)


def test_hydra_picks_angles_and_width_and_swaps_both_cameras_colours(tmp_path: Path) -> None:
    steps = hydra()
    episode = read_one("stanford_hydra_dataset_converted_externally_to_rlds", tmp_path, steps)
    state, action = steps["observation"]["state"], steps["action"]
    is_close(episode.state, state[:, :3], state[:, 7:10], np.linspace(1, 0, T))
    is_close(episode.action, action[:, :6], np.linspace(1, 0, T))
    is_close(episode.raw_action, action, steps["is_dense"])
    shows(episode, primary=ORANGE, wrist=TEAL)


def test_nyu_franka_play_has_no_gripper_in_its_state(tmp_path: Path) -> None:
    steps = nyu_franka_play()
    episode = read_one("nyu_franka_play_dataset_converted_externally_to_rlds", tmp_path, steps)
    is_close(episode.state, steps["observation"]["state"][:, 7:])
    is_close(episode.action, steps["action"][:, 7:13], [1, 1, 0, 0, 0, 1])
    is_close(episode.raw_action, steps["action"])
    shows(episode, primary=ORANGE, secondary=TEAL)


def test_furniture_bench_turns_about_the_grippers_axes_as_seen_from_the_base(tmp_path: Path) -> None:
    steps = furniture_bench()
    episode = read_one("furniture_bench_dataset_converted_externally_to_rlds", tmp_path, steps)
    state, action = steps["observation"]["state"], steps["action"]
    is_close(episode.state, state[:, :3], roll_pitch_yaw(state[:, 3:7]), np.linspace(1, 0, T))
    is_close(episode.action[:, [0, 1, 2, 6]], action[:, :3], [1, 1, 0, 0, 0, 1])
    turn, now = Rotation.from_euler("xyz", episode.action[:, 3:6]), Rotation.from_quat(state[:, 3:7])
    reached = now * Rotation.from_quat(action[:, 3:7])  # the publisher's controller multiplies from the right
    assert ((turn * now) * reached.inv()).magnitude().max() < 1e-5
    is_close(episode.raw_action, action)
    shows(episode, primary=ORANGE, wrist=TEAL)


def test_sailor_reads_a_quaternion_and_a_width(tmp_path: Path) -> None:
    steps = sailor()
    episode = read_one("austin_sailor_dataset_converted_externally_to_rlds", tmp_path, steps)
    state, action = steps["observation"]["state"], steps["action"]
    is_close(episode.state, state[:, :3], roll_pitch_yaw(state[:, 3:7]), state[:, 7] / 0.077)
    is_close(episode.action, action[:, :6], [1, 0, 0, 0, 0, 0])
    assert episode.notes["gripper_polarity"] == "+1 closes (by the width)"
    assert episode.raw_state.shape == (T, 31)
    shows(episode, primary=ORANGE, wrist=TEAL)


@pytest.mark.parametrize("by_column", [True, False])
def test_sirius_reads_its_pose_from_a_matrix_by_row_or_by_column(tmp_path: Path, by_column: bool) -> None:
    steps = sirius(by_column=by_column)
    episode = read_one("austin_sirius_dataset_converted_externally_to_rlds", tmp_path, steps)
    order = "F" if by_column else "C"
    matrices = np.array([row.reshape(4, 4, order=order) for row in steps["observation"]["state_ee"]])
    angles = Rotation.from_matrix(matrices[:, :3, :3]).as_euler("xyz")
    is_close(episode.state, matrices[:, :3, 3], angles, (CLOSING_M - 0.003) / 0.077)
    is_close(episode.action, steps["action"][:, :6], [1, 0, 0, 0, 0, 0])
    is_close(episode.raw_action, steps["action"], np.ones(T), np.full(T, -10))
    shows(episode, primary=ORANGE, wrist=TEAL)


def test_sirius_rejects_a_matrix_that_is_none(tmp_path: Path) -> None:
    steps = sirius()
    steps["observation"]["state_ee"][:] = 1
    root = write_openx(tmp_path, "austin_sirius", steps)
    (reject,) = read_all("austin_sirius_dataset_converted_externally_to_rlds", root)
    assert isinstance(reject, Reject)
    assert reject.reason == "[1.0, 1.0, 1.0, 1.0] ends a pose's matrix, expected 0 0 0 1"


def test_bc_z_adds_to_the_axis_angle_and_keeps_the_first_of_ten_actions(tmp_path: Path) -> None:
    steps = bc_z()
    episode = read_one("bc_z", tmp_path, steps)
    seen, action = steps["observation"], steps["action"]
    now = Rotation.from_rotvec(seen["present/axis_angle"])
    target = Rotation.from_rotvec(seen["present/axis_angle"] + action["future/axis_angle_residual"][:, :3])
    is_close(episode.state, seen["present/xyz"], now.as_euler("xyz"), 1 - seen["present/sensed_close"])
    is_close(
        episode.action, action["future/xyz_residual"][:, :3], (target * now.inv()).as_euler("xyz"), [1, 1, 1, 0, 0, 0]
    )
    assert (episode.raw_state.shape, episode.raw_action.shape) == ((T, 7), (T, 71))
    is_close(episode.raw_action[:, 30:60], action["future/axis_angle_residual"])
    shows(episode, primary=ORANGE)


def test_bc_z_leaves_failures_out_on_demand_and_later_versions_without(tmp_path: Path) -> None:
    root = write_openx(tmp_path, "bc_z", bc_z())
    (reject,) = read_all("bc_z", root, drop_failures=True)
    assert isinstance(reject, Reject)
    assert reject.error == "FilteredRecordError"
    later = write_openx(tmp_path, "bc_z", bc_z(), version="1.0.1")
    with pytest.raises(SourceError, match=r"found version 1\.0\.1 of bc_z, expected 0\.1\.0"):
        read_all("bc_z", later)
    assert len(read_all("bc_z", later, any_version=True)) == 1


def test_edan_turns_about_z_then_x_then_y(tmp_path: Path) -> None:
    steps = edan()
    episode = read_one("dlr_edan_shared_control_converted_externally_to_rlds", tmp_path, steps)
    for found, raw in ((episode.state, steps["observation"]["state"]), (episode.action, steps["action"])):
        angles = Rotation.from_euler("zxy", raw[:, 3:6]).as_euler("xyz")
        is_close(found, raw[:, :3], angles, np.linspace(1, 0, T))
    assert episode.notes == {"doubt": "polarity of the gripper", "camera_primary": "observation/image"}
    shows(episode, primary=ORANGE)


def test_cmu_stretch_is_told_where_to_be_not_how_to_move(tmp_path: Path) -> None:
    steps = cmu_stretch()
    episode = read_one("cmu_stretch", tmp_path, steps)
    is_close(episode.state, steps["observation"]["state"])
    is_close(episode.action, steps["action"][:, :7])
    is_close(episode.raw_action, steps["action"])
    assert episode.action_encoding == "eef_pose"


def test_fmb_swaps_colours_of_four_cameras_and_turns_both_grippers(tmp_path: Path) -> None:
    steps = fmb()
    told = {"episode_metadata": {"episode_language_instruction": "Pick up the peg and insert it.", "file_path": ""}}
    episode = read_one("fmb", tmp_path, steps, episode=told)
    pose = steps["observation"]["eef_pose"]
    is_close(episode.state, pose[:, :3], roll_pitch_yaw(pose[:, 3:]), [1, 1, 1, 0, 0, 1])
    is_close(episode.action, steps["action"][:, :6], [1, 1, 0, 0, 0, 1])
    assert episode.raw_state.shape == (T, 34)
    assert episode.texts == (
        Text(0, T, ("Pick up the peg and insert it.",)),
        Text(0, 3, ("Pick up the peg.",)),
        Text(3, T, ("Insert the peg.",)),
    )
    shows(episode, primary=ORANGE, secondary=ORANGE, wrist=TEAL, wrist_2=TEAL)


def test_dobbe_turns_about_the_grippers_axes_as_seen_from_its_frame(tmp_path: Path) -> None:
    steps = dobbe()
    episode = read_one("dobbe", tmp_path, steps)
    is_close(episode.state, steps["observation"]["state"])
    is_close(episode.action[:, [0, 1, 2, 6]], steps["action"][:, [0, 1, 2, 6]])
    now, turn = (Rotation.from_euler("xyz", v[:, 3:6]) for v in (episode.state, episode.action))
    following = Rotation.from_quat(steps["observation"]["quat"])[1:]
    assert ((turn * now)[:-1] * following.inv()).magnitude().max() < 1e-5
    assert (episode.control_hz, episode.time_ns[1]) == (3.75, 266_666_667)
    shows(episode, primary=TEAL)


def test_droid_scales_commands_as_its_controller_and_collects_three_texts(tmp_path: Path) -> None:
    steps = droid(language_instruction_2="marker into cup", language_instruction_3="")
    episode = read_one("droid", tmp_path, steps, episode=filed("success"))
    seen, command = steps["observation"], steps["action_dict"]
    is_close(episode.state, seen["cartesian_position"], np.linspace(1, 0, T))
    move, turn = command["cartesian_velocity"][1:, :3] * 0.075, command["cartesian_velocity"][1:, 3:] * 0.15
    is_close(episode.action[1:], move, turn, np.linspace(0, 1, T)[1:])
    is_close(episode.action[:1], [[0.045, 0, 0.06, 0, 0, 0.15, 0]])  # longer than 1: shortened
    assert (episode.raw_state.shape, episode.raw_action.shape) == ((T, 14), (T, 28))
    assert episode.texts == (Text(0, T, ("put the marker in the cup", "marker into cup")),)
    shows(episode, primary=ORANGE, secondary=TEAL, wrist=TEAL)


def test_droid_leaves_failures_out_unless_told_otherwise_and_reads_editions_with_one_text(tmp_path: Path) -> None:
    root = write_openx(tmp_path, "droid", [droid(), droid()], episode=[filed("success"), filed("failure")])
    found = read_all("droid", root)
    assert sorted(type(item).__name__ for item in found) == ["Episode", "Reject"]
    (reject,) = [item for item in found if isinstance(item, Reject)]
    assert reject.reason == "the attempt failed (its file lies in /failure/)"
    kept = read_all("droid", root, keep_failures=True)
    assert [item.instruction for item in kept if isinstance(item, Episode)] == [["put the marker in the cup"]] * 2


@pytest.mark.parametrize("name", MADE)
def test_an_embodiments_name_says_what_its_vectors_are(tmp_path: Path, name: str) -> None:
    steps, beside, embodiment, layout = MADE[name]
    episode = read_one(name, tmp_path, steps, episode=beside)
    state, action = episode.state, episode.action
    assert state is not None and action is not None
    assert (episode.state_encoding, state.shape[1], episode.action_encoding, action.shape[1]) == layout
    assert episode.embodiment == embodiment == catalog.source(f"openx/{name}").embodiment
    for vector in (state, action):
        assert vector.shape[1] != 7 or ((vector[:, 6] >= 0) & (vector[:, 6] <= 1)).all(), "openness is 0 to 1"
