"""TACO Play (`taco_play` 0.1.0): a Franka Panda in a toy kitchen, played with by teleoperation, 15 Hz.

observation/robot_obs  (t, 15)  x y z in metres, three angles in radians, width between the fingers in metres,
                                seven joints, the gripper's command   -> state, width over 0.08 m; joints stay raw
action/rel_actions_world  (t, 7)  motion in the base's frame as x y z yaw pitch roll, gripper's command of -1 or +1
                                  -> action, angles as roll pitch yaw, gripper 0 closed to 1 open

Loaders read robot_obs[7], the first joint, as the gripper: by the publisher's layout the width is robot_obs[6]. They
read +1 of the gripper's command as open while the catalog calls it closed: the width decides for each episode, the
catalog where the fingers hardly move. The catalog orders the angles of actions as yaw, pitch, roll and says nothing of
those in robot_obs; we take the same for both (`angles` is the way out). The scale of the motion is not published; it
is kept. Absolute targets and motions in the camera's frame stay in `raw_action`. Depth is left out. rgb_static is
150x200, rgb_gripper 84x84.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from dataengine.sources.openx import _gripper
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

FULL_WIDTH_M = 0.08
REVERSED = [5, 4, 3]
"""Yaw, pitch and roll behind x, y and z, taken as roll, pitch and yaw."""


@dataclass(frozen=True)
class TacoPlay(RldsSource):
    """Unstructured play, one static camera and one on the gripper."""

    _: KW_ONLY
    angles: Annotated[
        Literal["yaw-pitch-roll", "roll-pitch-yaw"], "Order of the three angles in robot_obs and in actions."
    ] = "yaw-pitch-roll"

    name: ClassVar[str] = "openx/taco_play"
    embodiment: ClassVar[str] = "franka_unscaled"
    control_hz: ClassVar[float] = 15.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "rgb_static", "wrist": "rgb_gripper"}
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    doubt: ClassVar[str] = "scale of the motion; order of the angles"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/robot_obs": 15,
        "action/rel_actions_world": 7,
        "action/actions": 7,
        "action/rel_actions_gripper": 7,
        "action/terminate_episode": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Order the angles, and let the width say which way the gripper's command goes."""
        state, action = steps["observation"]["robot_obs"], steps["action"]["rel_actions_world"]
        turn = REVERSED if self.angles == "yaw-pitch-roll" else REVERSED[::-1]
        gripper, notes = _gripper.opening(action[:, 6], state[:, 6], plus_one="closes")
        return Motion(
            state=columns(state[:, :3], state[:, turn], np.clip(state[:, 6] / FULL_WIDTH_M, 0.0, 1.0)),
            action=columns(action[:, :3], action[:, turn], gripper),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
            notes=notes,
        )
