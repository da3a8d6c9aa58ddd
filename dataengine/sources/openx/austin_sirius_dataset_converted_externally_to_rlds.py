"""Austin Sirius: a Franka Panda inserts gears and coffee pods, a policy and a person taking turns, 20 Hz.

observation/state_ee       (t, 16)  4x4 matrix of the gripper's pose          -> state[:, :6], x y z roll pitch yaw
observation/state_gripper  (t, 1)   width between the fingers, 0 to 0.077 m   -> state[:, 6], 0 closed to 1 open
observation/state_joint    (t, 7)   joints                                    -> raw_state
action                     (t, 7)   motion and turn of the gripper, as commands of its controller; gripper -1 or +1
                                    -> action, the gripper 0 closed to 1 open
action_mode, intv_label    (t, 1)   -1 demonstration, 0 policy, 1 person; -10 shortly before a person steps in

Loaders read `observation/state` as a pose; the publisher documents it as seven joints and the gripper, so the pose is
taken from `state_ee`, whatever the order of its rows and columns; a few steps of an episode have zeros there and hold
the last pose. Scale of the motion and sign of the gripper as in Austin SAILOR: the first is kept, the width decides on
the second. Images are 84x84.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.raw import untouched
from dataengine.sources.openx import _gripper
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns, hold_gaps, pose_of_matrix

FULL_WIDTH_M = 0.077


@dataclass(frozen=True)
class AustinSiriusDatasetConvertedExternallyToRlds(RldsSource):
    """Two insertion tasks, one camera beside the table and one on the hand."""

    name: ClassVar[str] = "openx/austin_sirius_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka_unscaled"
    control_hz: ClassVar[float] = 20.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    doubt: ClassVar[str] = "scale of the motion"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/state_ee": 16,
        "observation/state_gripper": 1,
        "observation/state_joint": 7,
        "action": 7,
        "action_mode": 1,
        "intv_label": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Turn matrices into poses; let the width say which way the gripper's command goes."""
        seen, action = steps["observation"], steps["action"]
        width_m = seen["state_gripper"].reshape(-1)
        gripper, notes = _gripper.opening(action[:, 6], width_m, plus_one="closes")
        matrix, gaps = hold_gaps(seen["state_ee"])
        return Motion(
            state=columns(pose_of_matrix(matrix), np.clip(width_m / FULL_WIDTH_M, 0.0, 1.0)),
            action=columns(action[:, :6], gripper),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action, steps["action_mode"], steps["intv_label"]),
            notes={**notes, **gaps},
        )
