"""RH20T as published: layouts, clocks that disagree, what its numbers become, and what is broken on purpose."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from rh20t_tree import (
    FRONT,
    LEVEL_STEP,
    LEVELS,
    OFFSETS,
    SCENE,
    SIDE,
    START_MS,
    UNKNOWN,
    WRIST,
    N,
    joints,
    pose,
    save,
    stamps,
    widths,
    write_camera,
    write_metadata,
    write_scene,
    write_stamps,
    write_texts,
    write_video,
)
from scipy.spatial.transform import Rotation

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from dataengine.sources import _rh20t_cameras as cameras

SECOND = "task_0001_user_0016_scene_0010_cfg_0003"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of one task by the UR5."""
    root = tmp_path_factory.mktemp("rh20t") / "RH20T_cfg3"
    write_scene(root)
    shutil.copytree(root / SCENE, root / SECOND)
    write_texts(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "RH20T_cfg3")
    return tmp_path / "RH20T_cfg3"


def read_all(root: Path, **settings: Any) -> list[Episode | Reject]:
    source = pickle.loads(pickle.dumps(catalog.source("rh20t")(str(root), **settings)))
    return [found for part in source.parts() for found in source.read(part)]


def first(root: Path, **settings: Any) -> Episode:
    episode = read_all(root, **settings)[0]
    assert isinstance(episode, Episode), episode
    return episode


def only_reject(root: Path) -> Reject:
    """The first scene was damaged; the second must arrive as ever."""
    bad, good = read_all(root)
    assert isinstance(good, Episode)
    assert good.source_record == SECOND
    assert isinstance(bad, Reject)
    assert "\n" not in bad.reason
    return bad


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
    np.testing.assert_array_equal(episode.raw_state, raw.astype(np.float32))
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


def test_more_than_a_fifth_without_poses_costs_the_scene(root: Path) -> None:
    tcp = [{"timestamp": t, "tcp": pose(t)} for t in stamps(0, 12)]
    save(root / SCENE / "transformed" / "tcp_base.npy", {FRONT: tcp})
    assert "only 13 of 20 steps would have a pose in tcp_base.npy within 100 ms" in only_reject(root).reason


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


def test_a_configuration_that_does_not_exist_costs_its_scenes(root: Path) -> None:
    (root / SCENE).rename(root / SCENE.replace("cfg_0003", "cfg_0008"))
    found = [item for item in read_all(root) if isinstance(item, Reject)]
    assert [item.reason for item in found] == ["cfg_0008 is none of the seven configurations"]


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
def test_every_layout_of_the_archives_gives_the_same_episodes(layout: str, root: Path, template: Path) -> None:
    LAYOUTS[layout](root)
    found, expected = read_all(root.parent), read_all(template)
    assert len(found) == 2
    for one, other in zip(found, expected, strict=True):
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
    found = read_all(root, min_rating=min_rating)[0]
    if is_kept:
        assert isinstance(found, Episode)
        assert found.notes["rating"] == str(rating)
    else:
        assert isinstance(found, Reject)
        assert found.error == "FilteredRecordError"
        assert f"rating {rating}" in found.reason


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


def empty_video(scene: Path) -> None:
    (scene / f"cam_{SIDE}" / "color.mp4").write_bytes(b"")


def cut_video(scene: Path) -> None:
    path = scene / f"cam_{SIDE}" / "color.mp4"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def short_video(scene: Path) -> None:
    write_video(scene / f"cam_{SIDE}" / "color.mp4", [0] * (N - 1))


def short_clock(scene: Path) -> None:
    write_stamps(scene, SIDE, stamps(0, N - 1))


def backward_clock(scene: Path) -> None:
    write_stamps(scene, SIDE, [*stamps(0, N - 1), START_MS])


def late_clock(scene: Path) -> None:
    write_stamps(scene, SIDE, stamps(60_000))


def no_clock(scene: Path) -> None:
    (scene / f"cam_{SIDE}" / "timestamps.npy").unlink()


def odd_clock(scene: Path) -> None:
    write_stamps(scene, SIDE, [None] * N)


def planted_clock(scene: Path) -> None:
    class Planted:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(scene / "was_here"),)

    save(scene / f"cam_{SIDE}" / "timestamps.npy", np.array({"color": Planted()}, dtype=object))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (empty_video, "color.mp4: the video has 0 bytes"),
        (cut_video, "color.mp4: not a readable video"),
        (short_video, "color.mp4 has 19 frames, timestamps.npy 20 times"),
        (short_clock, "color.mp4 has 20 frames, timestamps.npy 19 times"),
        (backward_clock, "runs backwards at frame 19"),
        (late_clock, "only 0 of 20 steps would have a frame within 100 ms"),
        (no_clock, "timestamps.npy is missing"),
        (odd_clock, "timestamps.npy: 'color' has shape|is no list of numbers"),
        (planted_clock, "tries to load posix.mkdir; it was not run"),
    ],
)
def test_a_damaged_camera_is_rejected_by_itself_and_the_next_takes_its_slot(
    damage: Callable[[Path], None], reason: str, root: Path
) -> None:
    damage(root / SCENE)
    bad, episode, other = read_all(root)
    assert isinstance(bad, Reject)
    assert bad.record == f"{SCENE}/cam_{SIDE}"
    assert any(words in bad.reason for words in reason.split("|")), bad.reason
    assert isinstance(episode, Episode)
    assert episode.notes["camera_secondary"] == f"{UNKNOWN} (unnamed)"
    assert episode.num_steps == N
    assert isinstance(other, Episode)
    assert not (root / SCENE / "was_here").exists()


@pytest.mark.parametrize("linked", ["color.mp4", "metadata.json", "transformed", "scene"])
def test_a_link_that_leaves_the_root_costs_the_scene(linked: str, root: Path) -> None:
    path = {
        "color.mp4": root / SCENE / f"cam_{SIDE}" / "color.mp4",
        "metadata.json": root / SCENE / "metadata.json",
        "transformed": root / SCENE / "transformed",
        "scene": root / SCENE,
    }[linked]
    path.rename(root.parent / "elsewhere")
    path.symlink_to(root.parent / "elsewhere")
    assert "leads out of the root" in only_reject(root).reason


def test_links_within_the_root_and_whole_archives_elsewhere_are_followed(root: Path) -> None:
    (root.parent / "linked").mkdir()
    (root.parent / "linked" / "RH20T_cfg3").symlink_to(root)
    (root / SCENE).rename(root / "kept")
    (root / SCENE).symlink_to(root / "kept")
    assert all(isinstance(found, Episode) for found in read_all(root.parent / "linked"))
    assert len(read_all(root)) == 2


def no_cameras(scene: Path) -> None:
    for video in scene.glob("*/color.mp4"):
        video.unlink()


def no_poses(scene: Path) -> None:
    (scene / "transformed" / "tcp_base.npy").unlink()


def no_gripper(scene: Path) -> None:
    (scene / "transformed" / "gripper.npy").unlink()


def silent_gripper(scene: Path) -> None:
    empty = {"gripper_info": [], "gripper_command": []}
    save(scene / "transformed" / "gripper.npy", {FRONT: dict.fromkeys(stamps(0), empty)})


def gripper_in_ticks(scene: Path) -> None:
    ticks = {"gripper_info": [950.0], "gripper_command": [0.0]}
    save(scene / "transformed" / "gripper.npy", {FRONT: dict.fromkeys(stamps(0), ticks)})


def cut_poses(scene: Path) -> None:
    path = scene / "transformed" / "tcp_base.npy"
    path.write_bytes(path.read_bytes()[:2000])


def poses_with(value: Any, key: str = "tcp") -> Callable[[Path], None]:
    def damage(scene: Path) -> None:
        entries = [{"timestamp": t, "tcp": pose(t)} for t in stamps(0)]
        entries[5][key] = value
        save(scene / "transformed" / "tcp_base.npy", {FRONT: entries})

    return damage


def poses_as(content: Any) -> Callable[[Path], None]:
    return lambda scene: save(scene / "transformed" / "tcp_base.npy", content)


def planted_joints(scene: Path) -> None:
    class Planted:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(scene / "was_here"),)

    save(scene / "transformed" / "joint.npy", np.array({FRONT: Planted()}, dtype=object))


def metadata_of(text: str) -> Callable[[Path], None]:
    def damage(scene: Path) -> None:
        (scene / "metadata.json").write_text(text)

    return damage


NAN_POSE = np.array([0.1, np.nan, 0.3, 1, 0, 0, 0])
POSES = {
    "no camera": (no_cameras, "no standing camera with a sound video and clock, of 4 cameras"),
    "no poses": (no_poses, "transformed/tcp_base.npy is missing; extract the LowDim archive"),
    "no gripper": (no_gripper, "transformed/gripper.npy is missing"),
    "silent gripper": (silent_gripper, "gripper.npy: holds no entries"),
    "gripper in ticks": (gripper_in_ticks, "gripper.npy: widths from 0 to 950, expected 0 to 110 mm"),
    "truncated poses": (cut_poses, "tcp_base.npy: the pickle is damaged"),
    "NaN": (poses_with(NAN_POSE), "state[5, 1] is nan"),
    "no rotation": (poses_with(np.zeros(7)), "the quaternion of step 5 has norm 0"),
    "six numbers": (poses_with(np.zeros(6)), "tcp_base.npy: entries are not numbers of one width"),
    "a word for a time": (poses_with("soon", "timestamp"), f"entries of camera '{FRONT}' are not as expected"),
    "a huge time": (poses_with(10**30, "timestamp"), "tcp_base.npy: entries are not numbers"),
    "an array of poses": (poses_as(np.zeros((4, 7))), "found ndarray, expected a dict by camera serial"),
    "no entries": (poses_as({FRONT: []}), "tcp_base.npy: holds no entries"),
    "joints that load code": (planted_joints, "joint.npy: the pickle tries to load posix.mkdir; it was not run"),
    "metadata missing": (lambda scene: (scene / "metadata.json").unlink(), "metadata.json is missing"),
    "metadata cut": (metadata_of('{"rating": 3,'), "metadata.json: not JSON"),
    "metadata a list": (metadata_of("[]"), "metadata.json: found list"),
    "rating a word": (metadata_of('{"rating": "good"}'), "metadata.json: rating is 'good', expected a number"),
    "finished before": (metadata_of('{"finish_time": 5}'), "finish_time 5 lies before the first frame"),
    "one step": (metadata_of(f'{{"finish_time": {START_MS}}}'), "only 1 step is left"),
}


@pytest.mark.parametrize("name", POSES)
def test_what_cannot_be_made_sense_of_costs_its_scene_only(name: str, root: Path) -> None:
    damage, reason = POSES[name]
    damage(root / SCENE)
    bad = only_reject(root)
    assert bad.record == SCENE
    assert reason in bad.reason
    assert not (root / SCENE / "was_here").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_costs_its_scene(root: Path) -> None:
    (root / SCENE / "metadata.json").chmod(0)
    assert "metadata.json: cannot be read (Permission denied)" in only_reject(root).reason


def test_widths_a_little_outside_are_clipped_and_counted(root: Path) -> None:
    save(
        root / SCENE / "transformed" / "gripper.npy",
        {FRONT: {t: {"gripper_info": [112.0], "gripper_command": [-1.0]} for t in stamps(0)}},
    )
    episode = first(root)
    assert (episode.state[:, 6].max(), episode.action[:, 6].min()) == (1.0, 0.0)
    assert episode.notes["gripper_clipped"] == f"{N} steps outside of 0 to 110 mm"
    assert episode.raw_state[0, 7] == 112.0


def test_a_root_that_is_no_such_dataset_says_in_one_line_what_to_do(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "RH20T_cfg3.tar.gz").touch()
    for place, words in (
        (tmp_path / "nowhere", "found nothing"),
        (tmp_path / "empty", "download the dataset first"),
        (tmp_path / "archive", "extract RH20T_cfg3.tar.gz"),
        (root / SCENE, f"too low; pass {root}"),
        (root / SCENE / "transformed", f"too low; pass {root}"),
    ):
        with pytest.raises(SourceError, match=words):
            catalog.source("rh20t")(str(place)).parts()
    (root / "task_description.json").write_text("{")
    with pytest.raises(SourceError, match="not readable JSON"):
        catalog.source("rh20t")(str(root)).parts()
    (root / "task_description.json").unlink()
    with pytest.raises(SourceError, match=r"found no task_description\.json"):
        catalog.source("rh20t")(str(root)).parts()


def test_every_serial_has_one_meaning_within_a_configuration() -> None:
    for cfg in range(1, 8):
        serials = [*cameras.STANDING[cfg], *cameras.IN_HAND[cfg]]
        assert len(serials) == len(set(serials))
