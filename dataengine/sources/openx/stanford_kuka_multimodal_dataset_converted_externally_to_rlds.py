"""Vision and Touch (`stanford_kuka_multimodal_dataset_converted_externally_to_rlds` 0.1.0): a Kuka inserts pegs, 20 Hz.

observation/ee_position, ee_orientation  (t, 3), (t, 4)  x y z, quaternion (xyzw assumed)  -> state[:, :6]
observation/state                        (t, 8)  seven joints, gripper open or closed      -> state[:, 6]
action                                   (t, 4)  motion of x y z, gripper open or closed   -> action, turn zero

The catalog calls the action a position; the publisher's paper (arXiv 1810.10191) says that policies put out
displacements of the end effector, of no published scale. `action_reads_as` in the notes tells what the numbers look
like. The publisher's own loader pairs image i with action i + 1, so an action may stand one step late; the rows are
left as they are. Which end of the gripper is open is not published, 1 is taken. Velocities, joints and yaw stay in
`raw_state`; contacts and forces (50 a step), depth and optical flow are left out. 128x128.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx import _target
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class StanfordKukaMultimodalDatasetConvertedExternallyToRlds(RldsSource):
    """Peg insertion, one camera."""

    name: ClassVar[str] = "openx/stanford_kuka_multimodal_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "kuka_iiwa_unscaled"
    control_hz: ClassVar[float] = 20.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "action read as a motion, maybe a step late; order of the quaternion; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/ee_position": 3,
        "observation/ee_orientation": 4,
        "observation/ee_vel": 3,
        "observation/ee_orientation_vel": 3,
        "observation/ee_yaw": 4,
        "observation/ee_yaw_delta": 4,
        "observation/joint_vel": 7,
        "observation/state": 8,
        "action": 4,
    }

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions into roll, pitch and yaw."""
        seen, action = steps["observation"], steps["action"]
        position, turn = seen["ee_position"], conventions.quaternion_to_euler(seen["ee_orientation"])
        return Motion(
            state=columns(position, turn, seen["state"][:, 7]),
            action=columns(action[:, :3], np.zeros_like(action[:, :3]), action[:, 3]),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action),
            notes={"action_reads_as": _target.reads_as(action[:, :3], position)},
        )
