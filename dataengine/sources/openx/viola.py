"""VIOLA (`viola` 0.1.0): a Franka in stylised kitchens, teleoperated, 20 Hz.

observation/ee_states             (t, 16)  4x4 pose of the end effector                 -> state[:, :6]
observation/gripper_states        (t, 1)   width, 0 closed; metres are taken, of 0.08   -> state[:, 6]
action/world_vector               (t, 3)   motion as commanded, -1 to 1                 -> action[:, :3]
action/rotation_delta             (t, 3)   turn as commanded, by three angles           -> action[:, 3:6]
action/gripper_closedness_action  (t,)     +1 closes, -1 opens                          -> action[:, 6]

Loaders take the joints for the state; the pose is there, so it is taken, and the joints stay in `raw_state`. The
motion is what the operational space controller was told, whose scale is not published; others measured it about a
hundred times larger than what the arm did. The width decides which way the gripper's command goes. Steps whose matrix
is all zero hold the last pose. 224x224.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.sources.openx import _gripper
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns, hold_gaps, pose_of_matrix

FULL_WIDTH_M = 0.08


@dataclass(frozen=True)
class Viola(RldsSource):
    """Kitchen tasks, one camera in front and one in the hand."""

    name: ClassVar[str] = "openx/viola"
    embodiment: ClassVar[str] = "franka_unscaled"
    control_hz: ClassVar[float] = 20.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "agentview_rgb", "wrist": "eye_in_hand_rgb"}
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    doubt: ClassVar[str] = "scale and kind of the turn; unit of the gripper's width"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/ee_states": 16,
        "observation/gripper_states": 1,
        "observation/joint_states": 7,
        "action/world_vector": 3,
        "action/rotation_delta": 3,
        "action/gripper_closedness_action": 1,
        "action/terminate_episode": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Take the pose out of the matrix; let the width say which way the gripper's command goes."""
        seen, action = steps["observation"], steps["action"]
        width_m = seen["gripper_states"].reshape(-1)
        close = action["gripper_closedness_action"].reshape(-1)
        gripper, notes = _gripper.opening(close, width_m, plus_one="closes")
        matrix, gaps = hold_gaps(seen["ee_states"])
        return Motion(
            state=columns(pose_of_matrix(matrix), np.clip(width_m / FULL_WIDTH_M, 0.0, 1.0)),
            action=columns(action["world_vector"], action["rotation_delta"], gripper),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
            notes={**notes, **gaps},
        )
