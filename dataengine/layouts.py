"""Which values of a canonical vector are grippers, as openings from 0 closed to 1 open: it follows from the layout.

A layout is an encoding and a width; one embodiment has one. Poses, deltas and velocities of hands are
`[x y z roll pitch yaw gripper]` for each arm, joints are six or seven of an arm and then its gripper. A source that
lays its vectors out otherwise says so in its notes.
"""

from collections.abc import Mapping
from typing import Final

from dataengine.errors import DataEngineError

_HANDS: Final[Mapping[int, tuple[int, ...]]] = {4: (3,), 5: (4,), 7: (6,), 14: (6, 13)}
"""4: no turn, as `hello_stretch_no_turn_state`; 5: yaw alone; 6 and 12: no gripper; 2 and 3: planar."""
_JOINTS: Final[Mapping[int, tuple[int, ...]]] = {8: (7,), 14: (6, 13), 16: (7, 15)}
"""7 joints and a gripper; twice 6 and a gripper (ALOHA); twice 7 and a gripper. 7 alone are seven joints."""

GRIPPERS: Final[Mapping[str, Mapping[int, tuple[int, ...]]]] = {
    **dict.fromkeys(("eef_pose", "eef_delta", "eef_velocity"), _HANDS),
    **dict.fromkeys(("joint_position", "joint_delta"), _JOINTS),
    "mixed": {16: (6, 13)},  # mobile ALOHA: two arms of joints, then the base's velocities
}
"""Places of the grippers by encoding and width. The speed of a gripper (`joint_velocity`) is no opening."""

ANGLES: Final[Mapping[int, tuple[int, ...]]] = {5: (3,), 6: (3, 4, 5), 7: (3, 4, 5), 12: (3, 4, 5, 9, 10, 11)} | {
    14: (3, 4, 5, 10, 11, 12)
}
"""Places of the angles of an `eef_pose` by its width; they wrap at +-pi."""


def note_key(column: str) -> str:
    """Name the note in which a source says where its grippers are: places joined by commas, or nothing for none."""
    return f"{column}_grippers"


def grippers(encoding: str, dim: int, said: str | None = None) -> tuple[int, ...]:
    """Give the places of the grippers: those that a source said, or else those of the layout."""
    if said is None:
        return GRIPPERS.get(encoding, {}).get(dim, ())
    try:
        places = tuple(sorted(int(word) for word in said.split(",") if word.strip()))
    except ValueError:
        places = (-1,)
    if places and not 0 <= places[0] <= places[-1] < dim:
        raise DataEngineError(f"note of grippers '{said}': expected places from 0 to {dim - 1} joined by commas")
    return places


def angles(encoding: str, dim: int) -> tuple[int, ...]:
    """Give the places of angles that wrap; none of deltas and velocities, which are small."""
    return ANGLES.get(dim, ()) if encoding == "eef_pose" else ()
