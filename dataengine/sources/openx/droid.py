"""DROID (`droid` 1.0.0 and 1.0.1, `droid_100`): Franka Pandas with Robotiq grippers at 13 institutions, 15 Hz.

observation/cartesian_position  (t, 6)  x y z in metres, roll pitch yaw in radians     -> state[:, :6]
observation/gripper_position    (t, 1)  0 open, 1 closed                               -> state[:, 6], turned
action_dict/cartesian_velocity  (t, 6)  command of up to 1: of 0.075 m and of 0.15 rad in a step
                                        -> action[:, :6], metres and roll pitch yaw in the base's frame
action_dict/gripper_position    (t, 1)  commanded, 0 open, 1 closed                    -> action[:, 6], turned

The scale is that of the publisher's controller, which adds the motion to the pose (and shortens commands longer
than 1). Loaders take the command unscaled, and the step's `action`, documented as joint velocities, is not read at all.
They leave the state's gripper at 1 closed. Joints and the other commands stay raw. 1.0.0 tells about 30,000
episodes what to do, 1.0.1 about 75,000, with up to three texts each. Attempts whose file lies in a `failure` folder
are left out unless `keep_failures`. Many steps are idle: a matter for curation. Cameras are the left ones of each
stereo pair, 180x320, scaled; which of the two exterior ones stands where differs from episode to episode.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import RecordError
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns, lookup
from dataengine.sources.openx._texts import Said

MAX_MOTION_M, MAX_TURN_RAD = 0.075, 0.15
"""What a command of 1 means in a step, by the publisher's controller (droid/robot_ik/robot_ik_solver.py)."""
TEXTS = ("language_instruction", "language_instruction_2", "language_instruction_3")


@dataclass(frozen=True)
class Droid(RldsSource):
    """Manipulation in 564 scenes, two cameras beside the robot and one on its hand."""

    _: KW_ONLY
    keep_failures: Annotated[bool, "Keep attempts that the publisher marks as failed."] = False

    name: ClassVar[str] = "openx/droid"
    embodiment: ClassVar[str] = "franka"
    control_hz: ClassVar[float] = 15.0
    licence: ClassVar[str] = "CC BY 4.0"
    cameras: ClassVar[Mapping[str, str]] = {
        "primary": "exterior_image_1_left",
        "secondary": "exterior_image_2_left",
        "wrist": "wrist_image_left",
    }
    episode_keys: ClassVar[tuple[str, ...]] = ("episode_metadata/file_path",)
    keys: ClassVar[Mapping[str, int]] = {
        "observation/cartesian_position": 6,
        "observation/gripper_position": 1,
        "observation/joint_position": 7,
        "action_dict/cartesian_velocity": 6,
        "action_dict/cartesian_position": 6,
        "action_dict/gripper_position": 1,
        "action_dict/gripper_velocity": 1,
        "action_dict/joint_position": 7,
        "action_dict/joint_velocity": 7,
    }

    def succeeded(self, record: Mapping[str, Any]) -> bool:
        """Tell by where the publisher filed it."""
        return not _failed(record["episode_metadata"]["file_path"])

    def leave_out(self, record: Mapping[str, Any]) -> str | None:
        """Leave out what the publisher filed under failures."""
        is_left_out = not (self.keep_failures or self.succeeded(record))
        return "the attempt failed (its file lies in /failure/)" if is_left_out else None

    def convert(self, steps: Steps) -> Motion:
        """Scale the command as the controller does; turn both grippers."""
        seen, command = steps["observation"], steps["action_dict"]
        return Motion(
            state=columns(seen["cartesian_position"], 1.0 - np.clip(seen["gripper_position"], 0.0, 1.0)),
            action=columns(motion(command["cartesian_velocity"]), 1.0 - np.clip(command["gripper_position"], 0.0, 1.0)),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action_dict"),
        )

    def instructions(self, steps: Steps) -> Said:
        """Collect the texts that annotators gave: paraphrases of one another."""
        texts = []
        for key in TEXTS:
            try:
                texts.append(lookup(steps, key))
            except RecordError:
                continue
        return [*zip(*texts, strict=True)] if texts else [()] * len(lookup(steps, next(iter(self.keys))))


def _failed(path: Any) -> bool:
    return isinstance(path, str) and "failure" in path.split("/")


def motion(velocity: NDArray) -> NDArray[np.float32]:
    """Turn the commands (t, 6) into metres and radians in a step, as the publisher's controller does."""
    return columns(_shortened(velocity[:, :3]) * MAX_MOTION_M, _shortened(velocity[:, 3:]) * MAX_TURN_RAD)


def _shortened(vectors: NDArray) -> NDArray:
    """Bring (t, 3) vectors that are longer than 1 to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1.0)
