"""VINN's doors (`nyu_door_opening_surprising_effectiveness` 0.1.0): a Hello Stretch opens cabinets, 3 Hz.

action/world_vector               (t, 3)  velocity of x y z                            -> action[:, :3]
action/rotation_delta             (t, 3)  angular velocity about x, y and z            -> action[:, 3:6]
action/gripper_closedness_action  (t, 1)  +1 closes, -1 opens, near 0 holds            -> action[:, 6], integrated

There is no proprioception. The catalog documents velocities, of no unit; loaders read them as motions. That the
gripper's command is a relative one is the loaders' word. The only camera is the one at the gripper. 720x960, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class NyuDoorOpeningSurprisingEffectiveness(RldsSource):
    """Doors of many kitchens, seen from the gripper."""

    name: ClassVar[str] = "openx/nyu_door_opening_surprising_effectiveness"
    embodiment: ClassVar[str] = "hello_stretch_no_state_eef_velocity"
    control_hz: ClassVar[float] = 3.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"wrist": "image"}
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    doubt: ClassVar[str] = "units of the velocities; the gripper's command is read as relative"
    keys: ClassVar[Mapping[str, int]] = {
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
            state=None,
            action=columns(action["world_vector"], action["rotation_delta"], gripper),
            raw_state=None,
            raw_action=self.raw(steps, "action"),
            state_encoding="none",
            action_encoding="eef_velocity",
        )
