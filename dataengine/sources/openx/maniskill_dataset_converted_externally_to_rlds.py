"""ManiSkill2 (`maniskill_dataset_converted_externally_to_rlds` 0.1.0): a simulated Franka, ten tasks, 20 Hz.

observation/tcp_pose   (t, 7)   x y z in metres, quaternion wxyz, in the world   -> state[:, :6], seen from the base
observation/base_pose  (t, 7)   the base in the world, the same way
observation/state      (t, 18)  joints, two fingers in metres, their speeds      -> state[:, 6], fingers over 0.08 m
action                 (t, 7)   x y z of 0.1 m, axis times angle of 0.1 rad, in the base's frame; gripper -1 closes,
                                +1 opens   -> action [metres, radians as roll pitch yaw, gripper 0 closed to 1 open]

Loaders leave the action without its units and the gripper in -1..1. That the frame is the base's is said in the
publisher's builder (its control mode is `arm_pd_base_ee_delta_pose`), not in the catalog. Actions beyond -1..1 occur
and are kept. Joints, speeds and the poses of the target object stay in `raw_state`; both depth images (1/1024 m) and
the cameras' matrices are left out. 256x256.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

METRES_PER_STEP, RADIANS_PER_STEP = 0.1, 0.1
FULL_WIDTH_M = 0.08
XYZW = [4, 5, 6, 3]
"""Where x, y, z and w of the quaternion are in a pose."""


@dataclass(frozen=True)
class ManiskillDatasetConvertedExternallyToRlds(RldsSource):
    """30,213 planned or learnt episodes, one camera in front and one at the wrist."""

    name: ClassVar[str] = "openx/maniskill_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka"
    control_hz: ClassVar[float] = 20.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    keys: ClassVar[Mapping[str, int]] = {
        "observation/tcp_pose": 7,
        "observation/base_pose": 7,
        "observation/state": 18,
        "observation/target_object_or_part_initial_pose": 7,
        "observation/target_object_or_part_final_pose": 7,
        "action": 7,
    }

    def convert(self, steps: Steps) -> Motion:
        """See the tool from the base; turn commands into metres and radians."""
        seen, action = steps["observation"], steps["action"]
        tool, base, fingers_m = seen["tcp_pose"], seen["base_pose"], seen["state"][:, 7:9]
        to_base = conventions.quaternion_to_matrix(base[:, XYZW]).swapaxes(1, 2)
        position = (to_base @ (tool[:, :3] - base[:, :3]).astype(np.float64)[..., None])[..., 0]
        rotation = conventions.matrix_to_euler(to_base @ conventions.quaternion_to_matrix(tool[:, XYZW]))
        turn = conventions.axis_angle_to_euler(action[:, 3:6] * RADIANS_PER_STEP)
        return Motion(
            state=columns(position, rotation, np.clip(fingers_m.sum(axis=1) / FULL_WIDTH_M, 0.0, 1.0)),
            action=columns(action[:, :3] * METRES_PER_STEP, turn, conventions.open_from_opening(action[:, 6])),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action),
        )
