"""Push-T on a real robot (`columbia_cairlab_pusht_real` 0.1.0): a UR5 pushes a block over a table, 10 Hz.

observation/robot_state           (t, 2)  x y of the end effector                         -> state, x y only
action/world_vector               (t, 3)  motion of x y z                                 -> action[:, :3]
action/rotation_delta             (t, 3)  motion of roll pitch yaw                        -> action[:, 3:6]
action/gripper_closedness_action  (t,)    +1 closes, -1 opens, 0 changes nothing          -> action[:, 6], integrated

Height and angles of the end effector are not recorded: they are not made up. Loaders leave the gripper's command as
it is, neither turned nor integrated; we follow the catalog. Metres and radians are taken. 240x320, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class ColumbiaCairlabPushtReal(RldsSource):
    """One task in the plane, two cameras."""

    name: ClassVar[str] = "openx/columbia_cairlab_pusht_real"
    embodiment: ClassVar[str] = "ur5_planar_state"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    doubt: ClassVar[str] = "units of the state and of the motion"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/robot_state": 2,
        "action/world_vector": 3,
        "action/rotation_delta": 3,
        "action/gripper_closedness_action": 1,
        "action/terminate_episode": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Integrate the gripper's commands."""
        action = steps["action"]
        gripper = conventions.open_from_relative(action["gripper_closedness_action"].reshape(-1))
        return Motion(
            state=columns(steps["observation"]["robot_state"]),
            action=columns(action["world_vector"], action["rotation_delta"], gripper),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
        )
