"""How frames come to rest: within which side, and what becomes of those that are not square.

The pixels are scaled by `formats/resize.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from dataengine.config import MOST_SIDE
from dataengine.errors import DataEngineError

FRAME_SIZE = 256
"""Side in pixels of frames at rest, where nobody says otherwise."""
Fit = Literal["squash", "pad", "crop"]
"""How frames that are not square become so: `squash` changes their shape and passes on those that are small enough;
`pad` adds black bars; `crop` cuts off what sticks out of the middle."""
FITS: tuple[Fit, ...] = get_args(Fit)
SQUASH: Fit = "squash"
"""Where nobody says otherwise."""


WHOLE = (0.0, 0.0, 1.0, 1.0)
"""Left, top, right and bottom of a picture, in shares of its sides."""


@dataclass(frozen=True)
class Placing:
    """Where a point of a publisher's picture lies in the picture at rest, both in shares of width and height."""

    scale: tuple[float, float]
    """Along x and y."""
    offset: tuple[float, float]

    def apply(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Move points (..., 2), x and y."""
        return np.asarray(points, np.float64) * self.scale + self.offset


@dataclass(frozen=True)
class Framing:
    """How the frames of all cameras come to rest."""

    side: Annotated[int, Field(ge=1, le=MOST_SIDE)] = FRAME_SIZE
    """Pixels that neither side of a frame exceeds."""
    fit: Fit = SQUASH

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Give height and width at rest of a frame of some native size."""
        if self.fit == "squash":
            return (self.side, self.side) if max(height, width) > self.side else (height, width)
        square = min(height, width) if self.fit == "crop" else max(height, width)
        return (min(square, self.side),) * 2

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Give height and width of the whole picture at that scale, before it is cropped or padded."""
        if self.fit == "squash":
            return self.size(height, width)
        reference = min(height, width) if self.fit == "crop" else max(height, width)
        share = min(reference, self.side) / reference
        return max(round(height * share), 1), max(round(width * share), 1)

    def placing(self, height: int, width: int, region: tuple[float, float, float, float] = WHOLE) -> Placing:
        """Tell where points of a picture go of which `region` was kept, with height and width as it has in pixels."""
        left, top, right, bottom = region
        scale, offset = np.array([right - left, bottom - top]), np.array([left, top])
        scale, offset = 1 / scale, -offset / scale
        if self.fit != "squash" and height != width:
            scaled = np.array(self.scaled(height, width)[::-1])
            side = scaled.min() if self.fit == "crop" else scaled.max()
            margin = -((scaled - side) // 2) if self.fit == "crop" else (side - scaled) // 2
            scale, offset = scale * scaled / side, (offset * scaled + margin) / side
        return Placing((float(scale[0]), float(scale[1])), (float(offset[0]), float(offset[1])))

    def placed(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the middle out of a picture that is scaled, or put it between black bars."""
        height, width = picture.shape[:2]
        if self.fit == "squash" or height == width:
            return picture
        if self.fit == "crop":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            return np.ascontiguousarray(picture[top : top + side, left : left + side])
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        padded = np.zeros((side, side, 3), np.uint8)
        padded[top : top + height, left : left + width] = picture
        return padded


def stated_framings(stated: Mapping[str, Any], where: Path) -> dict[str, Framing]:
    """Read how frames of each dataset came to rest that a model was trained on; nothing where it does not say.

    Raise DataEngineError where that is damaged.
    """
    data = stated.get("data")
    framings = data.get("framings") if isinstance(data, dict) else None
    try:
        return TypeAdapter(dict[str, Framing]).validate_python(framings or {})
    except ValidationError as error:
        raise DataEngineError(
            f"{where}: data.framings is damaged ({error.errors()[0]['msg']}); copy it again"
        ) from None
