"""FurnitureBench: a Franka Panda assembles furniture, teleoperated, 10 Hz.

observation/state  (t, 35)  x y z in metres, quaternion xyzw, linear and angular speed, seven joints, their speeds and
                            torques, width between the fingers in metres
                            -> state [x y z, roll pitch yaw, width over 0.08 m]; the rest stays raw
action             (t, 8)   motion in metres, quaternion xyzw of a turn about the gripper's axes, -1 opens, +1 closes
                            -> action [x y z, roll pitch yaw seen from the base, 0 closed to 1 open]

The catalog speaks of velocities; the publisher's controller adds the motion to the position and multiplies the
quaternion from the right, every 0.1 s. Loaders turn that quaternion into angles as if it were about the base's axes.
How far the gripper opens depends on the piece of furniture (0.065 to 0.08 m). Images are 224x224.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

FULL_WIDTH_M = 0.08


@dataclass(frozen=True)
class FurnitureBenchDatasetConvertedExternallyToRlds(RldsSource):
    """Assembly of nine pieces of furniture, one camera in front and one on the hand."""

    name: ClassVar[str] = "openx/furniture_bench_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    doubt: ClassVar[str] = "catalog calls the motion a velocity"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 35, "action": 8}

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions into roll, pitch and yaw about the base's axes."""
        state, action = steps["observation"]["state"], steps["action"]
        pose = conventions.quaternion_to_matrix(state[:, 3:7])
        turn = conventions.turn_seen_from_base(pose, conventions.quaternion_to_matrix(action[:, 3:7]))
        gripper = conventions.open_from_closing(action[:, 7])
        width = np.clip(state[:, 34] / FULL_WIDTH_M, 0.0, 1.0)
        return Motion(
            state=columns(state[:, :3], conventions.matrix_to_euler(pose), width),
            action=columns(action[:, :3], conventions.matrix_to_euler(turn), gripper),
            raw_state=untouched(state),
            raw_action=untouched(action),
        )
