"""Which instants of an RH20T scene become steps, and which frame of which camera shows each.

The clock is that of the camera in `primary`. A step stays when the robot's numbers and every camera have an entry
within 100 ms of it; nearest counts. A camera that would cost more than a fifth of the steps is passed over like one
that is damaged, and the next of its kind takes its slot.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataengine.camera_names import camera_note
from dataengine.episode import CameraFrames
from dataengine.errors import RecordError
from dataengine.framing import Framing
from dataengine.reading import reading
from dataengine.sources.rh20t import cameras
from dataengine.sources.rh20t.numbers import RobotNumbers, TimedNumbers, nearest
from dataengine.sources.rh20t.scenes import Scene, video_names

WITHIN_MS = 100
"""Farthest that two sensors may be apart and still show one instant; the public RLDS converter's figure."""
LEAST_SHARE = 0.8
MIN_STEPS = 2
GAP_MS = 500


@dataclass(frozen=True)
class Steps:
    """What was settled."""

    stamps_ms: NDArray[np.int64]
    """(t,) since the epoch, increasing."""
    cameras: Mapping[str, CameraFrames]
    joints: TimedNumbers | None
    """None where there are none, or too few."""
    notes: Mapping[str, str]

    @property
    def rate_hz(self) -> float:
        """Steps in a second where none was dropped."""
        apart_ms = np.diff(self.stamps_ms)
        return 1000.0 / float(apart_ms[apart_ms <= 1.5 * np.median(apart_ms)].mean())


def settle(
    scene: Scene,
    cfg: int,
    robot: RobotNumbers,
    finish_ms: float | None,
    framing: Framing,
    damaged: list[tuple[str, RecordError]],
) -> Steps:
    """Settle the steps of a scene; a camera that cannot be used is added to `damaged`."""
    notes: dict[str, str] = {}
    serials = scene.serials()
    filmed = [serial for serial in serials if scene.file(*video_names(serial))]
    if absent := sorted(set(serials) - set(filmed)):
        notes["cameras_without_video"] = " ".join(absent)
    standing, in_hand = (iter(kind) for kind in cameras.ordered(cfg, filmed))

    clock = next((usable for serial in standing if (usable := _shot(scene, serial, framing, damaged))), None)
    if clock is None:
        raise RecordError(f"no standing camera with a sound video and clock, of {len(serials)} cameras")
    before = clock.stamps_ms[clock.stamps_ms <= (np.inf if finish_ms is None else finish_ms)]
    if not len(before):
        raise RecordError(f"finish_time {finish_ms:.0f} lies before the first frame, at {clock.stamps_ms[0]} ms")
    if len(before) < len(clock.stamps_ms):
        notes["cut_at_finish_time"] = f"{len(clock.stamps_ms) - len(before)} frames"
    # A time that comes twice is one step: nothing moves in no time.
    settling = _Settling(np.unique(before))
    if num_repeated := len(before) - len(settling.stamps_ms):
        notes["repeated_times"] = f"{num_repeated} frames"
    settling.need(robot.pose.apart_ms(settling.stamps_ms), "pose in tcp_base.npy")
    settling.need(robot.width_mm.apart_ms(settling.stamps_ms), "width in gripper.npy")

    shots = {"primary": clock}
    for slot, kind in (("secondary", standing), ("wrist", in_hand), ("wrist_2", in_hand)):
        tried = (_shot(scene, serial, framing, damaged, settling) for serial in kind)
        if shot := next((shot for shot in tried if shot), None):
            shots[slot] = shot
    joints = robot.joints
    if robot.joints_lost:
        notes["raw_state_missing"] = robot.joints_lost
    if joints:
        try:
            settling.need(joints.apart_ms(settling.stamps_ms), "entry in joint.npy")
        except RecordError as error:
            notes["joints_left_out"], joints = str(error), None

    stamps_ms = settling.stamps_ms[settling.kept]
    if len(stamps_ms) < MIN_STEPS:
        raise RecordError(f"only {len(stamps_ms)} step is left, expected {MIN_STEPS} or more")
    rows = {slot: nearest(shot.stamps_ms, stamps_ms) for slot, shot in shots.items()}
    skew_ms = max(int(np.abs(shot.stamps_ms[rows[slot]] - stamps_ms).max()) for slot, shot in shots.items())
    notes |= {camera_note(slot): f"{shot.serial} ({cameras.view(cfg, shot.serial)})" for slot, shot in shots.items()}
    notes["largest_skew_ms"] = str(skew_ms)
    if num_dropped := int((~settling.kept).sum()):
        notes["dropped_steps"] = str(num_dropped)
    if (gap_ms := int(np.diff(stamps_ms).max())) > GAP_MS:
        notes["largest_gap_ms"] = str(gap_ms)
    taken = {slot: cameras.taken(shot.frames, rows[slot]) for slot, shot in shots.items()}
    return Steps(stamps_ms, taken, joints, notes)


@dataclass(frozen=True)
class _Shot:
    serial: str
    stamps_ms: NDArray[np.int64]
    frames: CameraFrames


class _Settling:
    """Instants of the clock, and which of them have all that was asked for so far."""

    def __init__(self, stamps_ms: NDArray[np.int64]) -> None:
        self.stamps_ms = stamps_ms
        self.kept = np.ones(len(stamps_ms), dtype=bool)

    def left(self, apart_ms: NDArray[np.int64], what: str) -> NDArray[np.bool_]:
        """Return which steps would be left; raise RecordError where they are too few."""
        left = self.kept & (apart_ms <= WITHIN_MS)
        if left.sum() < LEAST_SHARE * len(left):
            raise RecordError(
                f"only {left.sum()} of {len(left)} steps would have a {what} within {WITHIN_MS} ms, "
                f"expected {LEAST_SHARE:.0%}"
            )
        return left

    def need(self, apart_ms: NDArray[np.int64], what: str) -> None:
        """Keep the steps that have it."""
        self.kept = self.left(apart_ms, what)


def _shot(
    scene: Scene,
    serial: str,
    framing: Framing,
    damaged: list[tuple[str, RecordError]],
    settling: _Settling | None = None,
) -> _Shot | None:
    """Read a camera, its clock first; None, with the reason in `damaged`, where it cannot be used."""
    left = None
    try:
        with reading():
            stamps_ms = cameras.stamps_ms(scene, serial)
            if settling:
                rows = nearest(stamps_ms, settling.stamps_ms)
                left = settling.left(np.abs(stamps_ms[rows] - settling.stamps_ms), "frame")
            frames = cameras.frames(scene, serial, len(stamps_ms), framing)
    except RecordError as error:
        damaged.append((serial, error))
        return None
    if settling and left is not None:
        settling.kept = left
    return _Shot(serial, stamps_ms, frames)
