"""Hands as columns of a row and back; `schema.HANDS` says what they hold."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.hands.hands import SHAPES, Hand, Hands, Lens, LensModel

_FACTS: Final = ("source", "frame", "lens", "estimated", "sides")


def to_row(hands: Hands | None) -> dict[str, Any]:
    """Lay hands out as columns; all None without any."""
    names = (*_FACTS, "present", *SHAPES, "intrinsics", "camera")
    row: dict[str, Any] = {f"hands_{name}": None for name in names}
    if hands is None or not hands.sides:
        return row
    row |= {"hands_source": hands.source, "hands_frame": hands.frame, "hands_estimated": hands.estimated}
    row |= {"hands_sides": list(hands.sides)}
    row["hands_present"] = np.concatenate([hand.present for hand in hands.sides.values()])
    for name, shape in SHAPES.items():
        of_sides = [getattr(hand, name) for hand in hands.sides.values()]
        if any(values is not None for values in of_sides):
            nothing = np.full((hands.num_steps, *shape), np.nan, np.float32)
            row[f"hands_{name}"] = np.concatenate([nothing if x is None else x for x in of_sides]).ravel()
    if (lens := hands.lens) is not None:
        row["hands_lens"] = lens.model
        row["hands_intrinsics"] = np.array([lens.fx, lens.fy, lens.cx, lens.cy, *lens.distortion], np.float32)
    if hands.camera is not None:
        row["hands_camera"] = hands.camera.ravel()
    return row


def from_row(row: Mapping[str, pa.Scalar]) -> Hands | None:
    """Read what `to_row` made; None where there are no hands."""
    source, frame, lens, estimated, sides = (row[f"hands_{name}"].as_py() for name in _FACTS)
    if source is None:
        return None
    present = np.array(row["hands_present"].values.to_numpy(zero_copy_only=False), bool).reshape(len(sides), -1)
    numbers = {name: _array(row, name) for name in (*SHAPES, "intrinsics", "camera")}
    arrays = {
        name: values.reshape(len(sides), -1, *SHAPES[name])
        for name, values in numbers.items()
        if name in SHAPES and values is not None
    }
    intrinsics, camera = numbers["intrinsics"], numbers["camera"]
    return Hands(
        sides={
            side: Hand(present=present[i], **{name: values[i] for name, values in arrays.items()})
            for i, side in enumerate(sides)
        },
        source=source,
        estimated=estimated,
        frame=frame,
        lens=None if intrinsics is None else _lens(lens, *intrinsics.tolist()),
        camera=None if camera is None else camera.reshape(-1, 7),
    )


def _array(row: Mapping[str, pa.Scalar], name: str) -> NDArray[np.float32] | None:
    value = row[f"hands_{name}"]
    return value.values.to_numpy() if value.is_valid else None


def _lens(model: LensModel, fx: float, fy: float, cx: float, cy: float, *distortion: float) -> Lens:
    return Lens(fx, fy, cx, cy, model, distortion)
