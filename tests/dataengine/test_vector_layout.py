"""What the numbers of a vector are: by encoding and width, and by what a source notes."""

import json

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from dataengine.vector_layout import UNKNOWN, VectorLayout, layout_of, note_key, unscaled

ARM = ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]
TWO = [f"{side} {name}" for side in ("left", "right") for name in ARM]


@pytest.mark.parametrize(
    ("encoding", "dim", "groups"),
    [
        ("eef_pose", 7, {"xyz": (0, 1, 2), "rpy": (3, 4, 5), "gripper": (6,)}),
        ("eef_delta", 7, {"xyz": (0, 1, 2), "rpy": (3, 4, 5), "gripper": (6,)}),
        ("eef_pose", 14, {"xyz": (0, 1, 2, 7, 8, 9), "rpy": (3, 4, 5, 10, 11, 12), "gripper": (6, 13)}),
        ("eef_pose", 12, {"xyz": (0, 1, 2, 6, 7, 8), "rpy": (3, 4, 5, 9, 10, 11)}),
        ("eef_pose", 6, {"xyz": (0, 1, 2), "rpy": (3, 4, 5)}),
        ("eef_pose", 5, {"xyz": (0, 1, 2), "yaw": (3,), "gripper": (4,)}),
        ("eef_pose", 4, {"xyz": (0, 1, 2), "gripper": (3,)}),
        ("eef_pose", 3, {"xy": (0, 1), "yaw": (2,)}),
        ("eef_pose", 2, {"xy": (0, 1)}),
        ("joint_position", 6, {"joints": (0, 1, 2, 3, 4, 5)}),
        ("joint_position", 7, {"joints": (0, 1, 2, 3, 4, 5, 6)}),  # seven joints and no gripper
        ("joint_position", 8, {"joints": (0, 1, 2, 3, 4, 5, 6), "gripper": (7,)}),
        ("joint_position", 14, {"joints": (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12), "gripper": (6, 13)}),  # ALOHA
        ("joint_velocity", 8, {"joints": (0, 1, 2, 3, 4, 5, 6, 7)}),  # a gripper's speed is no opening
        ("mixed", 14, {}),
        ("mixed", 16, {}),
        ("eef_pose", 9, {}),
        ("none", 0, {}),
    ],
)
def test_what_values_are_follows_from_encoding_and_width(encoding, dim, groups):
    layout = VectorLayout.of(encoding, dim)
    assert layout.groups == groups
    assert (layout.dim, layout.grippers) == (dim, groups.get("gripper", ()))
    listed = [i for indices in groups.values() for i in indices]
    assert sorted([*listed, *layout.others]) == list(range(dim))


def test_each_arm_has_its_hand_its_joints_and_its_gripper():
    left, right = VectorLayout.of("eef_pose", 14).arms
    assert (left.position, left.rotation, left.gripper) == ((0, 1, 2), (3, 4, 5), 6)
    assert (right.position, right.rotation, right.gripper) == ((7, 8, 9), (10, 11, 12), 13)
    left, right = VectorLayout.of("joint_position", 16).arms
    assert (left.joints, left.gripper, right.joints, right.gripper) == (tuple(range(7)), 7, tuple(range(8, 15)), 15)
    assert VectorLayout.of("eef_pose", 12).positions == ((0, 1, 2), (6, 7, 8))
    assert VectorLayout.of("joint_position", 14).positions == ()


def test_values_have_names_and_house_units():
    assert list(VectorLayout.of("eef_pose", 7).names) == ARM
    assert list(VectorLayout.of("eef_delta", 14).names) == TWO
    assert VectorLayout.of("eef_pose", 5).names == ("x", "y", "z", "yaw", "gripper")
    assert VectorLayout.of("joint_position", 8).names[6:] == ("joint 6", "gripper")
    assert VectorLayout.of("eef_pose", 7).units == (*["metres"] * 3, *["radians"] * 3, "opening")
    assert VectorLayout.of("eef_velocity", 4).units == (*["metres_per_s"] * 3, "opening")
    assert VectorLayout.of("joint_position", 8).units == (*["radians"] * 7, "opening")
    assert set(VectorLayout.of("mixed", 3).units) == {UNKNOWN}
    assert VectorLayout.of("mixed", 3).name(2) == "value 2"


def test_only_the_angles_of_a_pose_wrap():
    assert VectorLayout.of("eef_pose", 14).angles == (3, 4, 5, 10, 11, 12)
    assert VectorLayout.of("eef_delta", 7).angles == VectorLayout.of("joint_position", 7).angles == ()


def test_a_source_says_where_its_grippers_are():
    assert VectorLayout.of("joint_position", 6, grippers="5").groups == {"joints": (0, 1, 2, 3, 4), "gripper": (5,)}
    none = VectorLayout.of("eef_pose", 7, grippers="")
    assert (none.grippers, none.arms[0].gripper, none.others) == ((), None, (6,))
    with pytest.raises(DataEngineError, match="note of grippers '7': expected indices from 0 to 6"):
        VectorLayout.of("eef_pose", 7, grippers="7")


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        ("x,y,z,roll,pitch,yaw,gripper", {"xyz": (0, 1, 2), "rpy": (3, 4, 5), "gripper": (6,)}),
        ("gripper,eef.x,eef.y,eef.z,a,b,c", {"xyz": (1, 2, 3), "gripper": (0,)}),
        ("x,y,z,qx,qy,qz,qw", {"xyz": (0, 1, 2)}),
        ("delta_x,delta_y,delta_z,droll,dpitch,dyaw,jaw", {"xyz": (0, 1, 2), "rpy": (3, 4, 5), "gripper": (6,)}),
        ("left_x,left_y,left_z,right_x,right_y,right_z,n", {"xyz": (0, 1, 2, 3, 4, 5)}),
        ("x_mm,y_mm,z_mm,roll_deg,pitch_deg,yaw_deg,g", {"xyz": (0, 1, 2), "rpy": (3, 4, 5)}),
        ("0,1,2,3,4,5,6", {"xyz": (0, 1, 2), "rpy": (3, 4, 5), "gripper": (6,)}),  # they say nothing: the width does
    ],
)
def test_names_that_tell_of_positions_go_before_the_width(names, groups):
    layout = VectorLayout.of("eef_delta", 7, names=names)
    assert layout.groups == groups
    assert ",".join(layout.names) == names


def test_units_are_noted_for_each_value_or_once_for_all():
    layout = VectorLayout.of("eef_pose", 4, units="millimetres,millimetres,millimetres,percent_open")
    np.testing.assert_allclose(layout.factors, [0.001, 0.001, 0.001, 0.01])
    pixels = VectorLayout.of("eef_pose", 2, units="pixels")
    assert pixels.units == ("pixels", "pixels")
    assert not pixels.is_known(pixels.position)
    assert np.isnan(pixels.factors).all()
    with pytest.raises(DataEngineError, match="found 3 of them, expected 4"):
        VectorLayout.of("eef_pose", 4, units="metres,metres,metres")


def test_notes_of_an_episode_are_read_as_the_corpus_keeps_them():
    notes = {note_key("state"): "5", note_key("state", "units"): "degrees", note_key("action", "names"): "a,b"}
    for given in (notes, json.dumps(notes)):
        state = layout_of("state", "joint_position", 6, given)
        assert (state.grippers, set(state.units)) == ((5,), {"degrees"})
        assert layout_of("action", "mixed", 2, given).names == ("a", "b")
    assert layout_of("state", None, 0, None) == VectorLayout.of("none", 0)


def test_rows_from_before_units_were_noted_are_read_by_what_their_source_is_known_to_do():
    known = layout_of("state", "eef_pose", 7, None, dataset="openx/bridge", embodiment="widowx")
    assert known == VectorLayout.of("eef_pose", 7)
    by_name = layout_of("state", "eef_pose", 7, "{}", dataset="lerobot/pusht", embodiment="pusht")
    by_notes = layout_of("state", "eef_pose", 7, '{"state": "observation.state"}', dataset="mine", embodiment="x")
    assert set(by_name.units) == set(by_notes.units) == {UNKNOWN}
    about = {"dataset": "openx/viola", "embodiment": "franka_unscaled"}
    assert layout_of("state", "eef_pose", 7, None, **about) == VectorLayout.of("eef_pose", 7)
    action = layout_of("action", "eef_delta", 7, None, **about)
    assert action.units == (*[UNKNOWN] * 6, "opening")
    assert action == unscaled(VectorLayout.of("eef_delta", 7))
