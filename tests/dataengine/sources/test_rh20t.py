"""RH20T as published: layouts, clocks that disagree, and what its numbers become."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from scipy.spatial.transform import Rotation

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.sources.rh20t import cameras
from tests.support.rh20t_tree import (
    FRONT,
    LEVEL_STEP,
    LEVELS,
    OFFSETS,
    SCENE,
    SECOND,
    SIDE,
    START_MS,
    UNKNOWN,
    WRIST,
    N,
    first,
    joints,
    pose,
    read_all,
    save,
    stamps,
    widths,
    write_camera,
    write_metadata,
    write_root,
    write_scene,
    write_stamps,
    write_texts,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_root(tmp_path / "RH20T_cfg3")


def levels(episode: Episode, slot: str) -> list[float]:
    return [float(simplejpeg.decode_jpeg(data).mean()) for data in episode.cameras[slot].jpegs]


def expected_poses(times: list[int]) -> np.ndarray:
    poses = np.array([pose(t) for t in times])
    return np.column_stack([poses[:, :3], Rotation.from_quat(poses[:, [4, 5, 6, 3]]).as_euler("xyz")])


def test_poses_widths_and_joints_become_canonical_and_stay_beside_it(root: Path) -> None:
    episode = first(root)
    times = stamps(0)
    assert episode.time_ns.tolist() == [100_000_000 * i for i in range(N)]
    assert episode.control_hz == pytest.approx(10.0)
    np.testing.assert_allclose(episode.state[:, :6], expected_poses(times), atol=1e-5)
    measured = np.array([widths(t)["gripper_info"][0] for t in times])
    commanded = np.array([widths(t)["gripper_command"][0] for t in times])
    np.testing.assert_allclose(episode.state[:, 6], measured / 110, atol=1e-6)
    np.testing.assert_array_equal(episode.action[:-1, :6], episode.state[1:, :6])
    np.testing.assert_array_equal(episode.action[-1, :6], episode.state[-1, :6])
    np.testing.assert_allclose(episode.action[:, 6], np.append(commanded[1:], commanded[-1]) / 110, atol=1e-6)
    raw = np.column_stack([[pose(t) for t in times], measured, [joints(t) for t in times]])
    np.testing.assert_array_equal(episode.raw_state, raw)
    np.testing.assert_array_equal(episode.raw_action, commanded[:, None].astype(np.float32))
    assert (episode.state_encoding, episode.action_encoding, episode.kind) == ("eef_pose", "eef_pose", "robot")
    assert episode.notes["action_source"] == "next_state"
    assert "assumed" in episode.notes["gripper_open_mm"]


def test_cameras_show_each_step_by_the_frame_nearest_to_it(root: Path) -> None:
    episode = first(root, frame_size=64)
    assert sorted(episode.cameras) == ["primary", "secondary", "wrist"]
    for slot, serial in (("primary", FRONT), ("secondary", SIDE), ("wrist", WRIST)):
        np.testing.assert_allclose(
            levels(episode, slot), [LEVELS[serial] + LEVEL_STEP * i for i in range(N)], atol=LEVEL_STEP / 2 - 0.5
        )
        frames = episode.cameras[slot]
        assert (frames.height, frames.width, frames.native_height, frames.native_width) == (64, 64, 96, 128)
    assert episode.notes["camera_primary"] == f"{FRONT} (front)"
    assert episode.notes["camera_wrist"] == f"{WRIST} (in-hand)"
    assert episode.notes["largest_skew_ms"] == "40"


def test_a_camera_that_runs_late_by_more_than_a_frame_is_shifted_by_its_clock(root: Path) -> None:
    write_stamps(root / SCENE, SIDE, stamps(-170))
    episode = first(root)
    # Frame i was taken at 100 i - 170: the step at 100 k takes frame k + 2; the last one is 170 ms away and is dropped,
    # and the one before it takes the last frame, 70 ms away.
    expected = [min(k + 2, N - 1) for k in range(N - 1)]
    np.testing.assert_allclose(
        levels(episode, "secondary"), [LEVELS[SIDE] + LEVEL_STEP * i for i in expected], atol=2.5
    )
    assert episode.num_steps == N - 1
    assert episode.notes["dropped_steps"] == "1"


def test_steps_that_a_sensor_missed_are_dropped_and_time_goes_on(root: Path) -> None:
    kept = [t for t in stamps(0) if not 500 <= t - START_MS <= 700]
    save(root / SCENE / "transformed" / "gripper.npy", {FRONT: {t: widths(t) for t in kept}})
    episode = first(root)
    assert [round(ns / 1e8) for ns in episode.time_ns] == [*range(6), *range(7, N)]
    assert episode.notes["dropped_steps"] == "1"
    np.testing.assert_allclose(episode.state[5, 6], widths(stamps(0)[4])["gripper_info"][0] / 110, atol=1e-6)
    assert episode.control_hz == pytest.approx(10.0)


def test_joints_that_miss_too_many_steps_are_left_out_of_the_raw_state(root: Path) -> None:
    save(root / SCENE / "transformed" / "joint.npy", {FRONT: {t: joints(t) for t in stamps(0, 12)}})
    episode = first(root)
    assert episode.raw_state.shape == (N, 8)
    assert "only 13 of 20 steps" in episode.notes["joints_left_out"]


def test_a_pause_of_the_recorder_is_noted_and_does_not_change_the_rate(root: Path) -> None:
    scene = root / SCENE
    times = [t + (5_000 if i >= 10 else 0) for i, t in enumerate(stamps(0))]
    for serial in OFFSETS:
        write_stamps(scene, serial, times)
    save(scene / "transformed" / "joint.npy", {FRONT: {t: joints(t) for t in times}})
    save(scene / "transformed" / "tcp_base.npy", {FRONT: [{"timestamp": t, "tcp": pose(t)} for t in times]})
    save(scene / "transformed" / "gripper.npy", {FRONT: {t: widths(min(t, times[9])) for t in times}})
    episode = first(root)
    assert episode.notes["largest_gap_ms"] == "5100"
    assert episode.control_hz == pytest.approx(10.0)
    assert episode.time_ns[10] == 6_000_000_000


def test_frames_after_finish_time_and_times_that_come_twice_are_cut(root: Path) -> None:
    times = stamps(0)
    times[3] = times[2]
    write_stamps(root / SCENE, FRONT, times)
    write_metadata(root / SCENE, finish_time=times[14])
    episode = first(root)
    assert [round(ns / 1e8) for ns in episode.time_ns] == [0, 1, 2, *range(4, 15)]
    np.testing.assert_allclose(levels(episode, "primary")[2:4], [LEVEL_STEP * 2, LEVEL_STEP * 4], atol=2.5)
    assert episode.notes["cut_at_finish_time"] == "5 frames"


def test_the_rate_is_that_of_the_stamps(root: Path) -> None:
    scene = root / SCENE
    times = [START_MS + 133 * i for i in range(N)]
    for serial in OFFSETS:
        write_stamps(scene, serial, times)
    save(scene / "transformed" / "tcp_base.npy", {FRONT: [{"timestamp": t, "tcp": pose(t)} for t in times]})
    save(scene / "transformed" / "gripper.npy", {FRONT: {t: widths(t) for t in times}})
    save(scene / "transformed" / "joint.npy", {FRONT: {t: joints(t) for t in times}})
    assert first(root).control_hz == pytest.approx(1000 / 133)


def test_texts_split_licence_and_names_follow_the_folder(root: Path) -> None:
    one, ten = read_all(root)
    assert isinstance(one, Episode)
    assert isinstance(ten, Episode)
    assert one.instruction == ["Press the button."]
    assert one.notes["instruction_chinese"] == "按按钮"
    assert (one.split, one.licence) == ("train", "CC BY-SA 4.0")
    assert (ten.split, ten.licence) == ("val", "CC BY-NC 4.0")
    assert (one.source_record, one.embodiment) == (SCENE, "ur5_eef_target")


def test_a_task_without_description_has_no_instruction_and_says_so(root: Path) -> None:
    (root / "task_description.json").write_text(json.dumps({"task_0099": {}}))
    episode = first(root)
    assert episode.instruction == []
    assert "task_0001" in episode.notes["instruction_missing"]


@pytest.mark.parametrize(
    ("cfg", "robot", "joint_width", "standing", "in_hand"),
    [
        (1, "flexiv", 14, ["750612070851", "750612070853"], ["043322070878"]),
        (2, "flexiv", 14, ["037522062165", "105422061350"], ["104422070042"]),
        (3, "ur5", 6, ["038522062288", "104122062295"], ["045322071843"]),
        (4, "ur5", 6, ["038522062288", "104122062295"], ["045322071843"]),
        (5, "franka", 14, ["037522062165", "105422061350"], ["135122079702", "104422070042"]),
        (6, "kuka_iiwa", 7, ["104122061018", "104122063633"], ["135122070361", "135122075425"]),
        (7, "kuka_iiwa", 7, ["104122061018", "104122063633"], ["135122070361", "135122075425"]),
    ],
)
def test_each_configuration_has_its_robot_cameras_and_joints(
    cfg: int, robot: str, joint_width: int, standing: list[str], in_hand: list[str], tmp_path: Path
) -> None:
    name = f"task_0002_user_0001_scene_0006_cfg_{cfg:04}"
    write_scene(tmp_path / "all" / f"RH20T_cfg{cfg}", name, [*standing, *in_hand, "999"], joint_width)
    write_texts(tmp_path / "all")
    episode = first(tmp_path / "all")
    assert episode.embodiment == f"{robot}_eef_target"
    assert episode.raw_state.shape == (N, 8 + joint_width)
    assert (episode.state.shape, episode.action.shape) == ((N, 7), (N, 7))
    slots = ["primary", "secondary", "wrist", "wrist_2"]
    shown = {slot: episode.notes[f"camera_{slot}"].split()[0] for slot in slots if slot in episode.cameras}
    assert shown == dict(zip(slots, [*standing, *in_hand], strict=False))


def side_by_side(root: Path, other: Path) -> None:
    """Move all but the videos to another tree of the same names."""
    for scene in (SCENE, SECOND):
        shutil.copytree(root / scene, other / scene, ignore=shutil.ignore_patterns("*.mp4"))
        shutil.rmtree(root / scene / "transformed")
        (root / scene / "metadata.json").unlink()


def with_color_folder(root: Path) -> None:
    for video in sorted(root.rglob("color.mp4")):
        (video.parent / "color").mkdir()
        video.rename(video.parent / "color" / "color.mp4")


def with_action_level(root: Path) -> None:
    (root / "action").mkdir()
    for scene in (SCENE, SECOND):
        (root / scene).rename(root / "action" / scene)


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "merged": lambda root: None,
    "side by side": lambda root: side_by_side(root, root.parent / "RH20T_cfg3_lowdim"),
    "side by side, one below action": lambda root: side_by_side(root, root.parent / "lowdim" / "RH20T_cfg3" / "action"),
    "action level": with_action_level,
    "color folders": with_color_folder,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_the_archives_gives_the_same_episodes(layout: str, root: Path) -> None:
    expected = read_all(root)
    LAYOUTS[layout](root)
    outcomes = read_all(root.parent)
    assert len(outcomes) == 2
    for one, other in zip(outcomes, expected, strict=True):
        assert isinstance(one, Episode)
        assert isinstance(other, Episode)
        assert one.episode_id == other.episode_id
        np.testing.assert_array_equal(one.raw_state, other.raw_state)
        assert {s: f.jpegs for s, f in one.cameras.items()} == {s: f.jpegs for s, f in other.cameras.items()}


def test_parts_keep_their_names_when_more_is_downloaded(root: Path) -> None:
    source = catalog.source("rh20t")
    (before,) = source(str(root)).parts()
    shutil.copytree(root / SCENE, root / SCENE.replace("task_0001", "task_0000"))
    shutil.copytree(root / SCENE, root / "more" / SCENE.replace("cfg_0003", "cfg_0004"))
    after = source(str(root)).parts()
    assert [part.name for part in after] == ["cfg_0003/task_0000", "cfg_0003/task_0001", "cfg_0004/task_0001"]
    assert (after[1].part_id, after[1].fingerprint) == (before.part_id, before.fingerprint)
    assert source(str(root.parent)).parts()[1].part_id == before.part_id
    write_camera(root / SCENE, UNKNOWN, N - 1)
    assert source(str(root)).parts()[1].fingerprint != before.fingerprint


def test_the_other_half_by_humans_is_no_robots_scene(root: Path) -> None:
    shutil.copytree(root / SCENE, root / f"{SCENE}_human")
    assert len(read_all(root)) == 2


@pytest.mark.parametrize(
    ("rating", "min_rating", "is_kept"), [(0, 2, False), (1, 2, False), (2, 2, True), (1, 1, True)]
)
def test_a_rating_below_the_least_is_left_out_by_rule(rating: int, min_rating: int, is_kept: bool, root: Path) -> None:
    write_metadata(root / SCENE, rating=rating)
    outcomes = read_all(root, min_rating=min_rating)[0]
    if is_kept:
        assert isinstance(outcomes, Episode)
        assert outcomes.notes["rating"] == str(rating)
    else:
        assert isinstance(outcomes, Reject)
        assert outcomes.error == "FilteredRecordError"
        assert f"rating {rating}" in outcomes.reason


def test_a_scene_that_nobody_rated_is_kept(root: Path) -> None:
    write_metadata(root / SCENE)
    assert first(root).notes["rating"] == "none"


def test_a_camera_without_video_is_passed_over(root: Path) -> None:
    (root / SCENE / f"cam_{FRONT}" / "color.mp4").unlink()
    episode = first(root)
    assert episode.notes["camera_primary"] == f"{SIDE} (side_right)"
    assert episode.notes["camera_secondary"] == f"{UNKNOWN} (unnamed)"
    assert episode.notes["cameras_without_video"] == FRONT
    np.testing.assert_allclose(episode.state[:, :6], expected_poses(stamps(OFFSETS[SIDE])), atol=1e-5)


def test_joints_that_were_not_downloaded_are_not_missed(root: Path) -> None:
    (root / SCENE / "transformed" / "joint.npy").unlink()
    assert first(root).raw_state.shape == (N, 8)


def test_widths_a_little_outside_are_clipped_and_counted(root: Path) -> None:
    save(
        root / SCENE / "transformed" / "gripper.npy",
        {FRONT: {t: {"gripper_info": [112.0], "gripper_command": [-1.0]} for t in stamps(0)}},
    )
    episode = first(root)
    assert (episode.state[:, 6].max(), episode.action[:, 6].min()) == (1.0, 0.0)
    assert episode.notes["gripper_clipped"] == f"{N} steps outside of 0 to 110 mm"
    assert episode.raw_state[0, 7] == 112.0


def test_every_serial_has_one_meaning_within_a_configuration() -> None:
    for cfg in range(1, 8):
        serials = [*cameras.STANDING[cfg], *cameras.IN_HAND[cfg]]
        assert len(serials) == len(set(serials))
