"""RoboSet (`robo_set` 0.0.1; `roboset` elsewhere): a Franka in kitchens, teleoperated and taught by hand, 5 Hz.

observation/state  (t, 8)  seven joints, gripper                           -> state
action             (t, 8)  joints to go to, gripper -1 opens to +1 closes  -> action, gripper 0 closed to 1 open

Nothing is documented; that the joints are targets and that +1 closes is what loaders make of them. Speeds of the
joints stay in `raw_state`. Three of four cameras, `image_top` is left out. 240x424, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class RoboSet(RldsSource):
    """Twelve skills in kitchens, three of its four cameras."""

    name: ClassVar[str] = "openx/robo_set"
    embodiment: ClassVar[str] = "franka_joint"
    control_hz: ClassVar[float] = 5.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {
        "primary": "image_left",
        "secondary": "image_right",
        "wrist": "image_wrist",
    }
    doubt: ClassVar[str] = "sense of the gripper; unit of its state"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 8, "observation/state_velocity": 8, "action": 8}

    def convert(self, steps: Steps) -> Motion:
        """Turn the gripper's command round."""
        action = steps["action"]
        return Motion(
            state=columns(steps["observation"]["state"]),
            action=columns(action[:, :7], conventions.open_from_closing(action[:, 7])),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action),
            state_encoding="joint_position",
            action_encoding="joint_position",
        )
