"""LIBERO's HDF5 files: what lies where in a file says what it must become in an episode."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from dataengine.formats import jpeg

T, SIDE = 6, 32
ROTATIONS = Rotation.from_euler("xyz", [[np.pi - 0.1 * i, 0.02 * i, 0.3] for i in range(T)])
JOINTS = np.linspace(0, 1, 7 * (T + 1)).reshape(T + 1, 7)
"""Before action i the joints are at row i."""


def pictures(level: int) -> np.ndarray:
    """As stored: the corner that is top right in the end is bottom left; it says which step it is."""
    frames = np.full((T, SIDE, SIDE, 3), level, np.uint8)
    for i in range(T):
        frames[i, SIDE // 2 :, : SIDE // 2] = (40 * i, 200, 20)
    return frames


def demo(*, after: bool) -> dict[str, np.ndarray]:
    actions = np.zeros((T, 7))
    actions[:, 0] = np.arange(T) / 10
    actions[:, 3:6] = ROTATIONS.as_rotvec() / 4
    actions[:, 6] = [-1, -1, -1, 1, 1, 1]
    fingers = np.linspace(0.04, 0.01, T)
    states = np.zeros((T, 20))
    states[:, 1:8] = JOINTS[:T]
    return {
        "actions": actions,
        "states": states,
        "obs/ee_states": np.concatenate([np.arange(3 * T).reshape(T, 3) / 100, ROTATIONS.as_rotvec()], axis=1),
        "obs/gripper_states": np.stack([fingers, -fingers], axis=1),
        "obs/joint_states": JOINTS[1:] if after else JOINTS[:T],
        "obs/agentview_rgb": pictures(10),
        "obs/eye_in_hand_rgb": pictures(120),
    }


def write(root: Path, demos: dict[str, dict[str, np.ndarray]], name: str = "pick_up_the_milk_demo", **attrs) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    path = root / f"{name}.hdf5"
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        for key, value in attrs.items():
            group.attrs[key] = value
        for demo_name, arrays in demos.items():
            for key, values in arrays.items():
                group.create_dataset(f"{demo_name}/{key}", data=values, compression="gzip" if "rgb" in key else None)
    return path


def read(root: Path) -> list[Episode | Reject]:
    source = catalog.source("libero_hdf5")(str(root))
    return [one for part in source.parts() for one in source.read(part)]


def step_of(picture: bytes) -> tuple[int, int]:
    """Which step a frame is of, by its top right corner, and the level of the rest."""
    frame = jpeg.decode(picture).astype(int)
    assert frame[4, -4, 1] > 180, "the corner is top right"
    return round(frame[4, -4, 0] / 40), frame[-4, 4, 1]


def test_numbers_are_those_that_the_other_edition_gives(tmp_path):
    write(tmp_path, {"demo_0": demo(after=False)})
    (episode,) = read(tmp_path)
    assert isinstance(episode, Episode)
    assert (episode.embodiment, episode.control_hz, episode.num_steps) == ("franka", 20.0, T)
    assert (episode.state_encoding, episode.action_encoding) == ("eef_pose", "eef_delta")
    assert episode.state[:, :3] == pytest.approx(np.arange(3 * T).reshape(T, 3) / 100)
    assert episode.state[:, 3:6] == pytest.approx(ROTATIONS.as_euler("xyz"), abs=1e-6)
    assert episode.state[:, 6] == pytest.approx(np.linspace(0.08, 0.02, T) / 0.08)
    assert episode.action[:, 0] == pytest.approx(np.arange(T) / 10 * 0.05)
    turns = Rotation.from_rotvec(ROTATIONS.as_rotvec() / 8).as_euler("xyz")
    assert episode.action[:, 3:6] == pytest.approx(turns, abs=1e-6)
    assert episode.action[:, 6].tolist() == [1, 1, 1, 0, 0, 0]
    assert episode.raw_action == pytest.approx(demo(after=False)["actions"])
    assert np.diff(episode.time_ns).tolist() == [50_000_000] * (T - 1)


def test_pictures_are_turned_by_half_a_turn(tmp_path):
    write(tmp_path, {"demo_0": demo(after=False)})
    (episode,) = read(tmp_path)
    for slot, level in (("primary", 10), ("wrist", 120)):
        said = [step_of(picture) for picture in episode.cameras[slot].jpegs]
        assert [step for step, _ in said] == list(range(T))
        assert said[0][1] == pytest.approx(level, abs=6)


def test_pictures_that_were_stored_upright_are_mirrored_only(tmp_path):
    arrays = demo(after=False)
    arrays = {key: value[:, ::-1] if "rgb" in key else value for key, value in arrays.items()}
    write(tmp_path, {"demo_0": arrays}, macros_image_convention="opencv")
    (episode,) = read(tmp_path)
    assert [step_of(picture)[0] for picture in episode.cameras["primary"].jpegs] == list(range(T))


def test_what_was_seen_after_an_action_is_paired_with_the_next_one(tmp_path):
    write(tmp_path, {"demo_0": demo(after=True)})
    (episode,) = read(tmp_path)
    assert episode.num_steps == T - 1
    assert [step_of(picture)[0] for picture in episode.cameras["primary"].jpegs] == list(range(T - 1))
    assert episode.action[:, 0] == pytest.approx(np.arange(1, T) / 10 * 0.05)
    assert episode.state[:, 0] == pytest.approx(np.arange(0, 3 * (T - 1), 3) / 100)
    assert episode.notes["observations"] == "after the action"


@pytest.mark.parametrize(
    ("said", "name", "text"),
    [
        ("pick up the milk", "a_demo", "pick up the milk"),
        (list("pick it"), "a_demo", "pick it"),
        (["pick", "it", "up"], "a_demo", "pick it up"),
        ("", "pick_up_the_butter_and_place_it_demo", "pick up the butter and place it"),
        ("", "LIVING_ROOM_SCENE2_put_both_cans_in_the_basket_demo", "put both cans in the basket"),
    ],
)
def test_the_instruction_is_that_of_the_task_else_of_the_name(tmp_path, said, name, text):
    about = {"problem_info": json.dumps({"language_instruction": said})} if said else {}
    write(tmp_path, {"demo_0": demo(after=False)}, name, **about)
    (episode,) = read(tmp_path)
    assert episode.instruction == [text]


def test_demonstrations_come_in_the_order_of_their_numbers_from_folders_below(tmp_path):
    names = [f"demo_{i}" for i in (10, 2, 0)]
    write(tmp_path / "libero_object", {name: demo(after=False) for name in names})
    records = [one.source_record for one in read(tmp_path) if isinstance(one, Episode)]
    assert records == [f"libero_object/pick_up_the_milk_demo.hdf5/demo_{i}" for i in (0, 2, 10)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"actions": None}, "key 'data/demo_1/actions' is missing"),
        ({"actions": np.zeros((T, 6))}, "actions has shape (6, 6), expected (t, 7)"),
        ({"actions": np.zeros((T - 1, 7))}, "its arrays have different numbers of steps, actions 5"),
        ({"obs/ee_states": np.full((T, 6), np.nan)}, "state[0, 0] is nan"),
        ({"obs/agentview_rgb": np.zeros((T, 3, SIDE, SIDE), np.uint8)}, "expected uint8 (t, height, width, 3)"),
        ({"obs/agentview_rgb": np.zeros((T, SIDE, SIDE, 3), np.float32)}, "has type float32"),
        ({"obs/agentview_rgb": None}, "key 'data/demo_1/obs/agentview_rgb' is missing"),
    ],
)
def test_a_bad_demonstration_costs_itself_alone(tmp_path, change, reason):
    bad = {key: value for key, value in (demo(after=False) | change).items() if value is not None}
    write(tmp_path, {"demo_0": demo(after=False), "demo_1": bad, "demo_2": demo(after=False)})
    first, second, third = read(tmp_path)
    assert isinstance(first, Episode)
    assert isinstance(third, Episode)
    assert isinstance(second, Reject)
    assert reason in second.reason


def test_a_wrist_camera_may_be_missing(tmp_path):
    arrays = demo(after=False)
    del arrays["obs/eye_in_hand_rgb"]
    write(tmp_path, {"demo_0": arrays})
    (episode,) = read(tmp_path)
    assert list(episode.cameras) == ["primary"]


def test_a_file_that_is_none_is_one_reject(tmp_path):
    write(tmp_path, {"demo_0": demo(after=False)})
    (tmp_path / "b_demo.hdf5").write_bytes(b"half a file")
    with h5py.File(tmp_path / "c_demo.hdf5", "w") as file:
        file["other"] = 1
    bad = [one for one in read(tmp_path) if isinstance(one, Reject)]
    assert len(bad) == 2
    assert "b_demo.hdf5: not readable HDF5" in bad[0].reason
    assert "c_demo.hdf5: found no group data/demo_<i>" in bad[1].reason


def test_a_folder_without_such_files_is_one_line(tmp_path):
    (tmp_path / "readme.txt").write_text("LIBERO")
    with pytest.raises(SourceError, match=r"found no \.hdf5 file, expected a folder with <task>_demo\.hdf5"):
        read(tmp_path)
