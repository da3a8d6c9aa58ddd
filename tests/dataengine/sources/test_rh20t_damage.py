"""RH20T broken on purpose: each damage costs the camera, the scene or the command, and says so in one line."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support.rh20t_tree import (
    FRONT,
    SCENE,
    SECOND,
    SIDE,
    START_MS,
    UNKNOWN,
    N,
    pose,
    read_all,
    save,
    stamps,
    write_root,
    write_stamps,
    write_video,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_root(tmp_path / "RH20T_cfg3")


def only_reject(root: Path) -> Reject:
    """The first scene was damaged; the second must arrive as ever."""
    bad, good = read_all(root)
    assert isinstance(good, Episode)
    assert good.source_record == SECOND
    assert isinstance(bad, Reject)
    assert "\n" not in bad.reason
    return bad


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


def clock_in_seconds(scene: Path) -> None:
    write_stamps(scene, SIDE, [t / 1000 for t in stamps(0)])


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
        (clock_in_seconds, "timestamps.npy: 'color' is 1631270000, expected milliseconds since 1970, 13 digits"),
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
    assert any(message in bad.reason for message in reason.split("|")), bad.reason
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
    assert all(isinstance(outcome, Episode) for outcome in read_all(root.parent / "linked"))
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


def two_poses(scene: Path) -> None:
    tcp = [{"timestamp": t, "tcp": pose(t + later)} for t in stamps(0) for later in (0, 1000)]
    save(scene / "transformed" / "tcp_base.npy", {FRONT: tcp})


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
    "no rotation": (poses_with(np.zeros(7)), "tcp_base.npy: quaternion[5] is no rotation: norm 0, expected 1"),
    "twice a rotation": (poses_with(np.array([0, 0, 0, 2.0, 0, 0, 0])), "quaternion[5] is no rotation: norm 2"),
    "millimetres": (poses_with(np.array([500.0, 0, 0, 1, 0, 0, 0])), "position[5] lies 500 m from the base, expected"),
    "two poses at a time": (
        two_poses,
        f"tcp_base.npy: entries at {START_MS} ms contradict each other by more than 0.05",
    ),
    "poses in seconds": (
        poses_with(START_MS / 1000, "timestamp"),
        "tcp_base.npy: a time is 1631270000, expected milli",
    ),
    "six numbers": (poses_with(np.zeros(6)), "tcp_base.npy: entries are not numbers of one width"),
    "a word for a time": (poses_with("soon", "timestamp"), f"entries of camera '{FRONT}' are not as expected"),
    "a huge time": (poses_with(10**30, "timestamp"), "tcp_base.npy: entries are not numbers"),
    "an array of poses": (poses_as(np.zeros((4, 7))), "found ndarray, expected a dict by camera serial"),
    "no entries": (poses_as({FRONT: []}), "tcp_base.npy: holds no entries"),
    "metadata missing": (lambda scene: (scene / "metadata.json").unlink(), "metadata.json is missing"),
    "metadata cut": (metadata_of('{"rating": 3,'), "metadata.json: not JSON"),
    "metadata a list": (metadata_of("[]"), "metadata.json: found list"),
    "rating a word": (metadata_of('{"rating": "good"}'), "metadata.json: rating is 'good', expected a number"),
    "rating NaN": (metadata_of('{"rating": NaN}'), "metadata.json: rating is 'nan', expected a number"),
    "rating without end": (metadata_of('{"rating": 1' + "0" * 400 + "}"), "expected a number"),
    "finished before": (
        metadata_of(f'{{"finish_time": {START_MS - 1}}}'),
        f"finish_time {START_MS - 1} lies before the first frame",
    ),
    "finished in microseconds": (
        metadata_of(f'{{"finish_time": {START_MS}000}}'),
        "metadata.json: finish_time is 1.63127e+15, expected milliseconds since 1970, 13 digits",
    ),
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


def ragged_joints(scene: Path) -> None:
    joints = {t: np.zeros(6 + i % 2) for i, t in enumerate(stamps(0))}
    save(scene / "transformed" / "joint.npy", {FRONT: joints})


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (planted_joints, "joint.npy: the pickle tries to load posix.mkdir; it was not run"),
        (ragged_joints, "joint.npy: entries are not numbers of one width"),
        (lambda scene: (scene / "transformed" / "joint.npy").write_bytes(b"x"), "joint.npy: not a .npy file"),
    ],
)
def test_damaged_joints_cost_nothing_but_themselves_for_they_are_only_kept_raw(
    damage: Callable[[Path], None], reason: str, root: Path
) -> None:
    damage(root / SCENE)
    episode, other = read_all(root)
    assert isinstance(episode, Episode)
    assert episode.notes["raw_state_missing"].startswith(reason)
    assert (episode.raw_state.shape[1], other.raw_state.shape[1]) == (8, 14)
    np.testing.assert_array_equal(episode.state, other.state)
    assert not (root / SCENE / "was_here").exists()


def test_widths_that_may_be_metres_are_told_as_doubtful(root: Path) -> None:
    metres = {"gripper_info": [0.05], "gripper_command": [0.11]}
    save(root / SCENE / "transformed" / "gripper.npy", {FRONT: dict.fromkeys(stamps(0), metres)})
    episode, other = read_all(root)
    assert episode.notes["gripper_doubt"] == "widths of 0.11 at most, taken for millimetres; are they metres?"
    assert "gripper_doubt" not in other.notes


def test_frames_of_one_time_are_one_step_and_are_counted(root: Path) -> None:
    write_stamps(root / SCENE, FRONT, [START_MS + 200 * (i // 2) for i in range(N)])
    episode = read_all(root)[0]
    assert (episode.num_steps, episode.notes["repeated_times"]) == (N // 2, f"{N // 2} frames")


def test_more_than_a_fifth_without_poses_costs_the_scene(root: Path) -> None:
    tcp = [{"timestamp": t, "tcp": pose(t)} for t in stamps(0, 12)]
    save(root / SCENE / "transformed" / "tcp_base.npy", {FRONT: tcp})
    assert "only 13 of 20 steps would have a pose in tcp_base.npy within 100 ms" in only_reject(root).reason


def test_a_configuration_that_does_not_exist_costs_its_scenes(root: Path) -> None:
    (root / SCENE).rename(root / SCENE.replace("cfg_0003", "cfg_0008"))
    rejects = [item for item in read_all(root) if isinstance(item, Reject)]
    assert [item.reason for item in rejects] == ["cfg_0008 is none of the seven configurations"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_costs_its_scene(root: Path) -> None:
    (root / SCENE / "metadata.json").chmod(0)
    assert "metadata.json: cannot be read (Permission denied)" in only_reject(root).reason


def test_a_root_that_is_no_such_dataset_says_in_one_line_what_to_do(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "RH20T_cfg3.tar.gz").touch()
    for path, message in (
        (tmp_path / "nowhere", "found nothing"),
        (tmp_path / "empty", "download the dataset first"),
        (tmp_path / "archive", "extract RH20T_cfg3.tar.gz"),
        (root / SCENE, f"too low; pass {root}"),
        (root / SCENE / "transformed", f"too low; pass {root}"),
    ):
        with pytest.raises(SourceError, match=message):
            catalog.source("rh20t")(str(path)).parts()
    (root / "task_description.json").write_text("{")
    with pytest.raises(SourceError, match=r"task_description\.json: not JSON"):
        catalog.source("rh20t")(str(root)).parts()
    (root / "task_description.json").unlink()
    with pytest.raises(SourceError, match=r"found no task_description\.json"):
        catalog.source("rh20t")(str(root)).parts()
