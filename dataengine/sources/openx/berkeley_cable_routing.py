"""Cable Routing (`berkeley_cable_routing` 0.1.0): a Franka threads a cable through clips, 10 Hz.

observation/robot_state  (t, 7)  seven joints, by the loaders; the catalog says nothing  -> state
action/world_vector      (t, 3)  velocity of x y z                                        -> action[:, :3]
action/rotation_delta    (t, 3)  angular velocity, about z only                           -> action[:, 3:6]

Loaders read both velocities as motions and add a gripper that is closed for ever; there is none in the data and none
here. Units of the velocities are not published. Cameras: front and top, two at the wrist (45 and 225 degrees). 128x128.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class BerkeleyCableRouting(RldsSource):
    """One task in stages, four cameras."""

    name: ClassVar[str] = "openx/berkeley_cable_routing"
    embodiment: ClassVar[str] = "franka_joint_state_eef_velocity_no_gripper"
    unknown_units: ClassVar[tuple[str, ...]] = ("action",)
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {
        "primary": "image",
        "secondary": "top_image",
        "wrist": "wrist45_image",
        "wrist_2": "wrist225_image",
    }
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    doubt: ClassVar[str] = "state read as joints; units of the velocities"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/robot_state": 7,
        "action/world_vector": 3,
        "action/rotation_delta": 3,
        "action/terminate_episode": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Call velocities what they are."""
        return Motion(
            state=columns(steps["observation"]["robot_state"]),
            action=columns(steps["action"]["world_vector"], steps["action"]["rotation_delta"]),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
            state_encoding="joint_position",
            action_encoding="eef_velocity",
        )
