"""LeRobot datasets that spread state and action over columns, and columns that no model reads."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import lerobot_writer as lr
from tests.support.lerobot_tree import change_features, coded, read_all, values_at, with_columns


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return lr.write_v2(tmp_path_factory.mktemp("lerobot") / "cubes")


@pytest.fixture
def v2(made, tmp_path):
    return shutil.copytree(made, tmp_path / "cubes")


def test_a_state_spread_over_columns_of_each_side_is_put_together_left_before_right(v2):
    columns = {
        "observation.state.right_gripper": coded(4, 1),
        "observation.state.right_arm": coded(3, 7),
        "observation.state.right_arm.velocities": coded(9, 7),
        "observation.state.torso": coded(5, 4),
        "observation.state.left_arm": coded(1, 7),
        "observation.state.left_gripper": coded(2, 1),
        "observation.state.chassis": coded(8, 3),
        "observation.state.mood": coded(7, 2),
        "action.left_gripper": coded(2, 1),
        "action.torso.position": coded(5, 4),
        "action.right_gripper": coded(4, 1),
        "action.left_arm": coded(1, 6),
        "action.right_arm": coded(3, 6),
        "action.chassis.velocities": coded(8, 6),
    }
    outcomes = read_all(with_columns(v2, columns))
    for i, episode in enumerate(outcomes):
        for k in range(lr.LENGTHS[i]):
            arm = [(1, range(7)), (2, range(1)), (3, range(7)), (4, range(1)), (5, range(4))]
            assert episode.state[k].tolist() == values_at(i, k, *arm)
            short = [(1, range(6)), (2, range(1)), (3, range(6)), (4, range(1)), (5, range(4))]
            assert episode.action[k].tolist() == values_at(i, k, *short)
    first = outcomes[0]
    assert (first.state_encoding, first.action_encoding) == ("joint_position", "joint_position")
    assert (first.notes["state_grippers"], first.notes["action_grippers"]) == ("7,15", "6,13")
    action_names = first.notes["action_names"].split(",")
    assert (action_names[:2], action_names[6], action_names[-1]) == (
        ["left_arm 0", "left_arm 1"],
        "left_gripper",
        "torso.position 3",
    )
    assert first.raw_state.shape[1] == 7 + 1 + 7 + 1 + 4 + 7 + 3 + 2
    state, _, action = first.notes["doubt"].partition("; action: ")
    assert state == (
        "state: put together as observation.state.left_arm, observation.state.left_gripper, "
        "observation.state.right_arm, observation.state.right_gripper, observation.state.torso; "
        "raw alone are observation.state.right_arm.velocities, observation.state.chassis; "
        "not understood, and raw alone, are observation.state.mood; --state decides otherwise"
    )
    assert "raw alone are action.chassis.velocities" in action


def test_columns_of_both_arms_are_cut_into_arm_and_gripper_arm_and_gripper(v2):
    columns = {
        "observation.states.effector.position": coded(2, 2),
        "observation.states.effector.force": coded(6, 2),
        "observation.states.end.orientation": lambda episode, k: np.full((2, 4), k),
        "observation.states.end.position": lambda episode, k: np.full((2, 3), k),
        "observation.states.joint.position": coded(1, 14),
        "actions.joint.position": coded(1, 14),
        "actions.effector.position": coded(2, 2),
        "actions.end.position": lambda episode, k: np.full((2, 3), k),
    }
    about = {"observation.states.effector.position": {"names": {"motors": ["left", "right"]}}}
    outcomes = read_all(with_columns(v2, columns, **about))
    both = [(1, range(7)), (2, range(1)), (1, range(7, 14)), (2, range(1, 2))]
    for i, episode in enumerate(outcomes):
        assert episode.state[5].tolist() == values_at(i, 5, *both)
        assert np.array_equal(episode.action, episode.state)
    assert outcomes[0].notes["state_grippers"] == "7,15"
    assert outcomes[0].embodiment == "so100_joint16"
    assert outcomes[0].raw_state.shape[1] == 14 + 2 + 2 + 8 + 6
    assert outcomes[0].raw_action.shape[1] == 14 + 2 + 6


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["joint.position", "gripper.position"], "joint.position gripper.position"),
        (["qpos", "gripper"], "qpos gripper"),
        (["eef.orientation", "eef.position"], "eef.position eef.orientation"),
        (["right_arm", "right_hand"], "right_arm right_hand"),
        (["left.joints", "left.claw", "right.joints"], "left.joints left.claw right.joints"),
        (["r_arm_joint", "l_arm_joint"], "l_arm_joint r_arm_joint"),
        (["arm", "left_gripper", "right_gripper"], "arm[0:2] left_gripper arm[2:4] right_gripper"),
    ],
)
def test_names_of_columns_say_what_comes_first(v2, names, expected):
    outcomes = read_all(with_columns(v2, {f"observation.state.{name}": coded(1, 4) for name in names}))
    wanted = ",".join(f"observation.state.{name}" for name in expected.split())
    assert outcomes[0].notes["state"] == wanted
    assert "say --action with some of" in outcomes[0].notes["action_missing"]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["left_arm", "left_arm_joints"], "joints of the left side are in observation.state.left_arm and"),
        (["joints", "left_arm"], "joints are in observation.state.joints and observation.state.left_arm"),
        (["left_arm", "right_arm", "gripper3"], "observation.state.gripper3 names no side, and its 3 values"),
        (["mood", "weather"], ""),
        (["gripper"], ""),
        (["joint_velocity"], ""),
    ],
)
def test_what_is_ambiguous_is_left_to_the_user_in_a_line_that_names_the_columns(v2, names, why):
    columns = {f"observation.state.{name}": coded(1, 3 if name[-1] == "3" else 4) for name in names}
    outcomes = read_all(with_columns(v2, columns))
    assert outcomes[0].state is None
    note = outcomes[0].notes["state_missing"]
    assert note.startswith("state: no column observation.state")
    assert why in note
    assert note.endswith(f"say --state with some of {', '.join(columns)}")
    assert outcomes[0].raw_state.shape[1] == sum(len(values_of(0, 0)) for values_of in columns.values())


def sided(*sides, of="joint"):
    counts = dict.fromkeys(sides, 0)
    names = []
    for side in sides:
        names.append(f"{side}_{of}_{counts[side]}")
        counts[side] += 1
    return {"names": names}


RIGHT_FIRST = sided(*["right"] * 7, *["left"] * 7)
LEFT_FIRST = sided(*["l"] * 7, *["r"] * 7)
NUMBERED = {"names": {"motors": [f"j{i}" for i in range(14)]}}
INTERLEAVED = sided(*["left", "right"] * 7)
LEFT_RIGHT, RIGHT_LEFT = {"names": ["left_gripper", "right_gripper"]}, {"names": ["gripper.R", "gripper.L"]}


@pytest.mark.parametrize(
    ("joints", "gripper", "left", "right"),
    [
        (RIGHT_FIRST, LEFT_RIGHT, (range(7, 14), range(1)), (range(7), range(1, 2))),
        (RIGHT_FIRST, RIGHT_LEFT, (range(7, 14), range(1, 2)), (range(7), range(1))),
        (LEFT_FIRST, RIGHT_LEFT, (range(7), range(1, 2)), (range(7, 14), range(1))),
        (LEFT_FIRST, {}, (range(7), range(1)), (range(7, 14), range(1, 2))),
        (INTERLEAVED, RIGHT_LEFT, (range(0, 14, 2), range(1, 2)), (range(1, 14, 2), range(1))),
        (INTERLEAVED, {}, (range(0, 14, 2), range(1)), (range(1, 14, 2), range(1, 2))),
        ({}, RIGHT_LEFT, None, "observation.state.gripper begins with the right side"),
        (RIGHT_FIRST, {}, None, "observation.state.joints begins with the right side"),
        (NUMBERED, LEFT_RIGHT, (range(7), range(1)), (range(7, 14), range(1, 2))),
        (NUMBERED, {}, (range(7), range(1)), (range(7, 14), range(1, 2))),
        (NUMBERED, RIGHT_LEFT, None, "observation.state.gripper begins with the right side"),
        ({"names": [*RIGHT_FIRST["names"][:13], "waist"]}, LEFT_RIGHT, None, "names the sides of 13 of its 14 values"),
    ],
)
def test_names_of_values_tell_the_sides_of_a_column_of_both_arms(v2, joints, gripper, left, right):
    columns = {"observation.state.joints": coded(1, 14), "observation.state.gripper": coded(2, 2)}
    about = {"observation.state.joints": joints, "observation.state.gripper": gripper}
    first = read_all(with_columns(v2, columns, **about))[0]
    if left is None:
        assert first.state is None
        assert right in first.notes["state_missing"]
        assert first.notes["state_missing"].endswith(f"say --state with some of {', '.join(columns)}")
        return
    assert first.state[3].tolist() == values_at(0, 3, (1, left[0]), (2, left[1]), (1, right[0]), (2, right[1]))
    assert first.notes["state_grippers"] == "7,15"


@pytest.mark.parametrize(
    ("column", "names", "contradicts"),
    [
        ("left_arm", ["right_j0", "right_j1"], "right_j0"),
        ("left_arm", ["left_j0", "right_j1"], "right_j1"),
        ("left_arm", ["j0", "elbowRight"], "elbowRight"),
        ("left_arm", ["r_j0", "r_j1"], "r_j0"),
        ("left_arm", ["l_j0", "l_j1"], ""),
        ("left_arm", ["p", "r"], ""),  # pitch and roll
        ("left_gripper", ["left_finger", "right_finger"], ""),
        ("left_gripper", ["l", "r"], ""),
        ("left_gripper", ["left_of_right_0", "1"], ""),
        ("left_gripper", ["right_0", "right_1"], "right_0"),
    ],
)
def test_a_column_of_one_side_whose_values_are_called_after_the_other_is_not_taken(v2, column, names, contradicts):
    others = [name for name in ("left_arm", "right_arm", "left_gripper", "right_gripper") if name != column]
    columns = {f"observation.state.{name}": coded(1, 2) for name in (column, *others)}
    outcomes = read_all(with_columns(v2, columns, **{f"observation.state.{column}": {"names": names}}))
    if not contradicts:
        assert outcomes[0].state.shape[1] == 8
        return
    assert outcomes[0].state is None
    said = f"observation.state.{column} is of the left side by its name, {contradicts} of it is of the other"
    assert said in outcomes[0].notes["state_missing"]


def test_names_of_values_tell_the_sides_of_a_gripper_beside_columns_of_each_arm(v2):
    columns = {f"action.{name}": coded(i, 7) for i, name in enumerate(("right_arm", "left_arm"))}
    columns["action.gripper"] = coded(2, 2)
    first = read_all(with_columns(v2, columns, **{"action.gripper": RIGHT_LEFT}))[0]
    wanted = [(1, range(7)), (2, range(1, 2)), (0, range(7)), (2, range(1))]
    assert first.action[3].tolist() == values_at(0, 3, *wanted)


@pytest.mark.parametrize("gripper", [{"names": ["finger_l", "finger_r"]}, {}])
def test_an_arm_of_ten_numbered_joints_with_two_fingers_is_one(v2, gripper):
    columns = {"observation.state.joints": coded(1, 10), "observation.state.gripper": coded(2, 2)}
    joints = {"names": [f"joint_{i}" for i in range(10)]}
    about = {"observation.state.joints": joints, "observation.state.gripper": gripper}
    first = read_all(with_columns(v2, columns, **about))[0]
    assert first.state[3].tolist() == values_at(0, 3, (1, range(10)), (2, range(2)))


def test_ten_numbered_joints_are_of_one_arm_unless_the_gripper_says_two(v2):
    columns = {"observation.state.joints": coded(1, 10), "observation.state.gripper": coded(2, 2)}
    joints = {"names": [f"joint_{i}" for i in range(10)]}
    about = {"observation.state.joints": joints, "observation.state.gripper": LEFT_RIGHT}
    first = read_all(with_columns(v2, columns, **about))[0]
    assert "gripper is of two arms by its names" in first.notes["state_missing"]
    assert "observation.state.joints of one, numbered throughout; say --state" in first.notes["state_missing"]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (["left_gripper"], [(1, range(7, 14)), (2, range(1)), (1, range(7))]),
        (["right_hand", "left_hand"], [(1, range(7, 14)), (3, range(1)), (1, range(7)), (2, range(1))]),
    ],
)
def test_a_column_of_both_arms_goes_with_what_columns_of_one_side_say(v2, ends, expected):
    columns = {f"observation.state.{name}": coded(2 + i, 1) for i, name in enumerate(ends)}
    columns["observation.state.joints"] = coded(1, 14)
    first = read_all(with_columns(v2, columns, **{"observation.state.joints": RIGHT_FIRST}))[0]
    assert first.state[3].tolist() == values_at(0, 3, *expected)


def test_hands_of_each_side_go_to_halves_of_a_column_without_names(v2):
    columns = {f"observation.state.{name}": coded(i, 6) for i, name in enumerate(("right_hand", "joints", "left_hand"))}
    first = read_all(with_columns(v2, columns))[0]
    wanted = [(1, range(3)), (2, range(6)), (1, range(3, 6)), (0, range(6))]
    assert first.state[3].tolist() == values_at(0, 3, *wanted)


def test_a_column_of_odd_width_is_not_cut_into_two_arms(v2):
    columns = {f"observation.state.{name}": coded(1, 7) for name in ("arm", "left_gripper", "right_gripper")}
    first = read_all(with_columns(v2, columns))[0]
    assert "observation.state.arm names no side, and its 7 values are not of two arms" in first.notes["state_missing"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["left_arm_delta", "right_arm_delta", "left_gripper"], "joint_delta"),
        (["left_arm", "right_arm"], "joint_position"),
        (["left_arm_delta", "right_arm"], "action.left_arm_delta by name is of changes, action.right_arm is not"),
        (["arm", "gripper_delta"], "action.gripper_delta by name is of changes, action.arm is not"),
    ],
)
def test_changes_beside_positions_are_not_called_by_one_name(v2, names, expected):
    columns = {f"action.{name}": coded(i, 1 if "gripper" in name else 6) for i, name in enumerate(names)}
    first = read_all(with_columns(v2, columns))[0]
    if "is" in expected.split():
        assert first.action is None
        assert expected in first.notes["action_missing"]
        assert first.notes["action_missing"].endswith(f"say --action with some of {', '.join(columns)}")
    else:
        assert first.action_encoding == expected


def test_the_state_whose_values_are_called_as_the_actions_is_taken_whole(v2):
    names = ["left_j1", "left_gripper", "right_j1", "right_gripper"]
    columns = {f"observation.state.{name}": coded(i, 4) for i, name in enumerate(("eef", "effort", "qpos", "qvel"))}
    columns["action"] = coded(5, 4)
    about = {key: {"names": names} for key in columns if "eef" not in key}
    (first, *_) = read_all(with_columns(v2, columns, **about))
    assert first.state[3].tolist() == values_at(0, 3, (2, range(4)))
    assert first.notes["state_grippers"] == "1,3"


def test_columns_that_nothing_takes_are_named(v2):
    columns = {
        "observation.state": coded(1, 3),
        "action": coded(2, 3),
        "next.reward": coded(3, 1),
        "score": coded(4, 1),
    }
    first = read_all(with_columns(v2, columns, score={"dtype": "complex64"}))[0]
    assert first.notes["columns_left_out"] == "next.reward score"


@pytest.mark.parametrize(
    ("values", "shape", "expected", "problem"),
    [
        (pa.array([[1.0, None], None] + [[3.0, 4.0]] * 7), [2], None, "has 1 values that are null"),
        (pa.array([[1.0, 2.0], None] + [[3.0, 4.0]] * 7), [2], [[1, 2], [np.nan, np.nan]], "not finite at some steps"),
        (pa.array([1.5, None] + [2.0] * 7), [1], [[1.5], [np.nan]], "not finite at some steps"),
        (pa.array([None] * 9, pa.float32()), [1], [[np.nan], [np.nan]], "not finite at some steps"),
        (pa.array([[1.0]] * 8 + [[1.0, 2.0]]), [1], None, "has rows of 1 and of 2 values"),
        (pa.array([2**63] + [1] * 8, pa.uint64()), [1], None, "expected whole numbers below 2^63"),
        (pa.array(["a"] * 9), [1], None, "info.json says 1 of float32"),
        (None, [3], None, "observation.side is declared in info.json, but not in the data files"),
    ],
)
def test_damage_of_a_column_that_is_only_kept_raw_costs_that_column_alone(v2, values, shape, expected, problem):
    change_features(v2, observation__side={"dtype": "float32", "shape": shape, "names": None})
    for i, length in enumerate(lr.LENGTHS):
        path = v2 / f"data/chunk-000/episode_{i:06d}.parquet"
        good = pa.array([[7.0] * shape[0]] * length)
        column = values if i == 1 else good
        if column is not None:
            pq.write_table(pq.read_table(path).append_column("observation.side", column), path)
    before, hit, after = read_all(v2)
    assert [episode.raw_state.shape[1] for episode in (before, hit, after)] == [3 + shape[0]] * 3
    assert (before.raw_state[:, 3:] == 7).all()
    assert "raw_state_missing" not in after.notes
    side = hit.raw_state[:, 3:]
    wanted = np.full((2, shape[0]), np.nan) if expected is None else expected
    assert np.array_equal(side[:2], wanted, equal_nan=True)
    assert problem in hit.notes["raw_state_missing"]
    assert np.array_equal(hit.state, lr.state_of(1).astype(np.float32))


def test_a_wall_clock_is_kept_to_the_nanosecond_and_where_a_row_of_it_is_null_that_is_told(v2):
    change_features(v2, observation__clock={"dtype": "int64", "shape": [1], "names": None})
    start = 1_760_000_000_123_456_789
    for i, length in enumerate(lr.LENGTHS):
        path = v2 / f"data/chunk-000/episode_{i:06d}.parquet"
        stamps = [start + 33_333_333 * k if k or i != 1 else None for k in range(length)]
        pq.write_table(pq.read_table(path).append_column("observation.clock", pa.array(stamps)), path)
    whole, gap, _ = read_all(v2)
    assert whole.raw_state_exact[3].tolist() == [start + 33_333_333 * k for k in range(lr.LENGTHS[0])]
    assert "raw_state_missing" not in whole.notes
    assert gap.raw_state_exact == {}
    assert np.isnan(gap.raw_state[0, 3])
    assert "is not finite at some steps, and rounded at the others" in gap.notes["raw_state_missing"]
