"""Cameras of RH20T: which one is which, and when its frames were taken.

A serial number says where a camera stands, for each of the seven configurations. The names of the standing ones are
those of the public RLDS converter; in-hand cameras are listed in the publisher's configs.json. Frame i of color.mp4
belongs to entry i of timestamps.npy; the container's own times mean nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataengine.episode import CameraFrames
from dataengine.errors import RecordError
from dataengine.formats import npy
from dataengine.formats.video import video
from dataengine.framing import Framing
from dataengine.sources.rh20t import times as rh20t_times
from dataengine.sources.rh20t.scenes import Scene, stamp_names, video_names

VIEWS = ("front", "side_right", "side_left", "shoulder", "overhead")
"""Standing cameras in the order in which they are taken: those that see gripper and table without the arm between."""
_FLEXIV_2 = ("037522062165", "105422061350", "104122063678", "036422060215", "104122061850")
_UR5 = ("038522062288", "104122062295", "104122062823", "036422060909", "104422070011")
_KUKA = ("104122061018", "104122063633", "104122064161", "104122061602", "104122060811")
STANDING = {
    1: ("750612070851", "750612070853", "039422060546", "038522063145", "035622060973"),
    2: _FLEXIV_2,
    3: _UR5,
    4: _UR5,
    5: _FLEXIV_2,
    6: _KUKA,
    7: _KUKA,
}
"""Configuration to serial numbers, in the order of VIEWS; a camera that is not listed comes after them."""
_SPARE = "104422071090"
IN_HAND = {
    1: ("043322070878", _SPARE),
    2: ("104422070042", _SPARE),
    3: ("045322071843", _SPARE),
    4: ("045322071843", _SPARE),
    5: ("135122079702", "104422070042", _SPARE),
    6: ("135122070361", "135122075425", _SPARE),
    7: ("135122070361", "135122075425", _SPARE),
}
"""Configuration to serial numbers; the one that the converter calls wrist comes first."""


def ordered(cfg: int, serials: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the cameras of a scene into standing and in-hand ones, each in the order in which they are taken."""
    hand = [serial for serial in IN_HAND[cfg] if serial in serials]
    named = [serial for serial in STANDING[cfg] if serial in serials]
    others = sorted(set(serials) - {*named, *hand})
    return named + others, hand


def expected(cfg: int, serials: Sequence[str]) -> list[str]:
    """Return the cameras that are read when all are sound: two standing, two in-hand."""
    standing, hand = ordered(cfg, serials)
    return standing[:2] + hand[:2]


def view(cfg: int, serial: str) -> str:
    """Say in a word what a camera sees."""
    if serial in IN_HAND[cfg]:
        return "in-hand"
    return dict(zip(STANDING[cfg], VIEWS, strict=True)).get(serial, "unnamed")


def stamps_ms(scene: Scene, serial: str) -> NDArray[np.int64]:
    """Read when each frame was taken, (n,) ms since the epoch; they may repeat, but not run backwards."""
    path = scene.file(*stamp_names(serial))
    if path is None:
        raise RecordError("timestamps.npy is missing")
    content = npy.read(path)
    if not isinstance(content, dict) or "color" not in content:
        raise RecordError("timestamps.npy: found no dict with 'color'")
    try:
        times = np.asarray(content["color"], dtype=np.float64).view(np.ndarray)
    except (TypeError, ValueError) as error:
        raise RecordError(f"timestamps.npy: 'color' is no list of numbers ({error})") from error
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all():
        raise RecordError(f"timestamps.npy: 'color' has shape {times.shape}, expected a time for each frame")
    rh20t_times.check(times, "timestamps.npy: 'color'")
    backwards = np.flatnonzero(np.diff(times) < 0)
    if len(backwards):
        i = int(backwards[0]) + 1
        raise RecordError(f"timestamps.npy: runs backwards at frame {i}, from {times[i - 1]:.0f} to {times[i]:.0f} ms")
    return np.round(times).astype(np.int64)


def frames(scene: Scene, serial: str, num_frames: int, framing: Framing) -> CameraFrames:
    """Decode a camera's video; raise RecordError unless it has as many frames as its clock has times."""
    path = scene.file(*video_names(serial))
    if path is None:
        raise RecordError("color.mp4 is missing")
    decoded = video.decode(path, framing.side, how=framing.fit).frames
    if len(decoded.jpegs) != num_frames:
        raise RecordError(f"color.mp4 has {len(decoded.jpegs)} frames, timestamps.npy {num_frames} times")
    return decoded


def taken(whole: CameraFrames, rows: NDArray[np.int64]) -> CameraFrames:
    """Take some frames, in the given order."""
    return CameraFrames(
        jpegs=[whole.jpegs[i] for i in rows],
        height=whole.height,
        width=whole.width,
        native_height=whole.native_height,
        native_width=whole.native_width,
    )
