"""MANO without its model: what its translation and global rotation say of the wrist."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataengine.conventions import axis_angle_to_matrix, matrix_to_quaternion, quaternion_to_matrix
from dataengine.hands.orders import INDEX_MCP, LITTLE_MCP, MIDDLE_MCP, WRIST

TO_HOUSE: Final = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
"""Columns: our x (to the fingers), y and z (out of the back) in a right hand of MANO at rest, palm down, fingers to -x.
To within the few degrees between its middle finger and the axis."""

MOST_OFF = 0.5
"""Cosine below which fingers in the picture do not point where the rotation says."""

NOTE: Final[Mapping[str, str]] = {
    "hands_doubt": "the wrist's place is MANO's translation, some 10 cm from it at all times, its rotation "
    "MANO's turned to our axes; points in metres need MANO's model"
}


def turned_wrist(axis_angle: NDArray) -> NDArray[np.float32]:
    """Turn MANO's global rotation (..., 3) of a right hand into that of our wrist (..., 4), xyzw."""
    return matrix_to_quaternion(axis_angle_to_matrix(axis_angle) @ TO_HOUSE).astype(np.float32)


def agrees(rotation: NDArray, points: NDArray) -> bool:
    """Tell whether rotations (n, 4) of right wrists in the camera's frame fit points (n, 21, 2) in pixels.

    The middle finger's knuckle must lie where x points, and the order of knuckles around the wrist must be that of a
    hand whose back z leaves; depth is neglected. True where nothing can be told.
    """
    axes = quaternion_to_matrix(rotation)
    x, z = axes[:, :2, 0], axes[:, 2, 2]
    finger = points[:, MIDDLE_MCP] - points[:, WRIST]
    a, b = points[:, INDEX_MCP] - points[:, WRIST], points[:, LITTLE_MCP] - points[:, WRIST]
    across = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(finger, axis=1)
    tells = np.isfinite(lengths) & (np.linalg.norm(x, axis=1) > MOST_OFF) & (lengths > 0)
    along = (x * finger).sum(axis=1)[tells] / lengths[tells]
    around = -np.sign(across * z)[np.isfinite(across * z) & (np.abs(z) > MOST_OFF)]
    return not (len(along) and np.median(along) < MOST_OFF) and not (len(around) and np.median(around) < 0)
