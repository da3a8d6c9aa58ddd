"""What names of a LeRobot dataset say of its numbers, cameras and texts, and what a user may say instead."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataengine.episode import Text
from dataengine.errors import SourceError
from tests.support import lerobot_writer as lr
from tests.support.lerobot_found import is_shown
from tests.support.lerobot_tree import change_features, read_all, source_of


def names_of(root, key):
    return json.loads((root / "meta/info.json").read_text())["features"][key]


@pytest.mark.parametrize(
    "names", [{"motors": ["x", "y", "z"]}, {"delta_x": 0, "delta_y": 1, "delta_z": 2}, ["x", "y", "z"]]
)
def test_names_of_axes_make_a_pose_and_its_change(v3, names):
    change_features(
        v3,
        observation__state={**names_of(v3, "observation.state"), "names": ["x", "y", "z"]},
        action={**names_of(v3, "action"), "names": names},
    )
    outcomes = read_all(v3)
    assert (outcomes[0].state_encoding, outcomes[0].action_encoding) == ("eef_pose", "eef_delta")
    assert outcomes[0].embodiment == "so100_eef_pose3_eef_delta3"
    assert ("a goal" in outcomes[0].notes.get("doubt", "")) is ("delta_x" not in names)


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (["shoulder_pan", "elbow_flex", "gripper"], "joint_position"),
        ({"motors": ["motor_0", "motor_1", "motor_2"]}, "joint_position"),
        ({"motors": ["a_0", "a_1", "a_2"]}, "joint_position"),
        (["joint_1.vel", "joint_2.vel", "joint_3.vel"], "joint_velocity"),
        (None, "mixed"),
        (["a", "b", "c"], "mixed"),
        (["joint_1", "temperature", "gripper"], "mixed"),
    ],
)
def test_names_tell_what_a_state_is_or_a_doubt_says_that_they_do_not(v3, names, encoding):
    change_features(v3, observation__state={**names_of(v3, "observation.state"), "names": names})
    first = read_all(v3)[0]
    assert first.state_encoding == encoding
    gripper_notes = {"gripper": "2", "joint_3.vel": "", "c": ""}  # bare numbers tell nothing
    assert first.notes.get("state_grippers") == (gripper_notes.get(names[-1]) if isinstance(names, list) else None)
    assert ("say --state-encoding" in first.notes.get("doubt", "")) is (encoding == "mixed")


def test_columns_encodings_cameras_and_names_can_be_said(v3):
    outcomes = read_all(
        v3,
        state="action[1:3], observation.state[:1]",
        state_encoding="eef_velocity",
        action_encoding="eef_delta",
        camera=f"secondary={lr.WRIST}",
        dataset="mine/{name}",
        embodiment="{robot}_odd",
    )
    first = outcomes[0]
    wanted = np.column_stack([lr.action_of(0)[:, 1:], lr.state_of(0)[:, :1]]).astype(np.float32)
    assert np.array_equal(first.state, wanted)
    assert (first.state_encoding, first.action_encoding) == ("eef_velocity", "eef_delta")
    assert (first.dataset, first.embodiment) == ("mine/cubes", "so100_odd")
    assert list(first.cameras) == ["secondary"]
    assert is_shown(first.cameras["secondary"], 0)
    assert first.notes["cameras_left_out"] == lr.TOP
    assert np.array_equal(first.raw_state[:, 3:], lr.state_of(0).astype(np.float32))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"state": "observation.stat"}, "no column of numbers 'observation.stat'; did you mean 'observation.state'"),
        ({"action": "action[2:9]"}, "'action[2:9]' takes 2 to 9 of a column of 3 values"),
        ({"camera": "front=x"}, "found camera 'front=x', expected SLOT=KEY with primary"),
        ({"camera": "primary=x"}, f"no camera 'x'; known: {lr.TOP}, {lr.WRIST}"),
    ],
)
def test_what_cannot_be_chosen_is_told_in_one_line(v3, options, expected):
    with pytest.raises(SourceError) as error:
        source_of(v3, **options)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (["top", "wrist_left", "wrist_right"], {"primary": "top", "wrist": "wrist_right", "wrist_2": "wrist_left"}),
        (["side", "front", "cam_high"], {"primary": "cam_high", "secondary": "front"}),
        (["hand"], {"primary": "hand"}),
        (["image", "depth"], {"primary": "image"}),
    ],
)
def test_cameras_find_their_slots_by_name(keys, wanted):
    from dataengine.formats.lerobot.lerobot import Feature
    from dataengine.sources.lerobot import meaning

    features = {key: Feature(key, "video", (4, 4, 3), is_depth=key == "depth") for key in keys}
    chosen, left_out = meaning.cameras(features, "", "here")
    assert chosen == wanted
    assert set(left_out) == set(keys) - set(wanted.values())


def test_texts_become_instructions_at_their_frames_or_notes(v3):
    change_features(
        v3,
        language_instruction={"dtype": "string", "shape": [1], "names": None},
        operator={"dtype": "string", "shape": [1], "names": None},
    )
    for number, members in enumerate(((0, 1), (2,))):
        path = v3 / f"data/chunk-000/file-{number:03d}.parquet"
        table = pq.read_table(path)
        instructions = [f"do it{' well' if i else ''}" for i in members for _ in range(lr.LENGTHS[i])]
        operator = ["ann" if k < 4 else "bob" for i in members for k in range(lr.LENGTHS[i])]
        table = table.append_column("language_instruction", pa.array(instructions)).append_column(
            "operator", pa.array(operator)
        )
        numbers = [int(k > 5) for i in members for k in range(lr.LENGTHS[i])]
        pq.write_table(table.set_column(table.column_names.index("task_index"), "task_index", pa.array(numbers)), path)
    first = read_all(v3)[0]
    assert list(first.texts) == [
        Text(0, 6, ("pick the cube",)),
        Text(6, 12, ("place the cube",)),
        Text(0, 12, ("do it",)),
    ]
    assert json.loads(first.notes["operator"])[1] == {"start": 4, "end": 12, "text": "bob"}


def test_all_numbers_of_an_observation_are_kept_raw(v3):
    change_features(v3, observation__force={"dtype": "float32", "shape": [2, 2], "names": None})
    for number, members in enumerate(((0, 1), (2,))):
        path = v3 / f"data/chunk-000/file-{number:03d}.parquet"
        table = pq.read_table(path)
        force = [[[i, k], [2, 3]] for i in members for k in range(lr.LENGTHS[i])]
        pq.write_table(
            table.append_column("observation.force", pa.array(force, pa.list_(pa.list_(pa.float32())))), path
        )
    episode = read_all(v3)[1]
    assert episode.state.shape[1] == 3
    assert episode.raw_state[:, 3:].tolist() == [[1, k, 2, 3] for k in range(lr.LENGTHS[1])]
