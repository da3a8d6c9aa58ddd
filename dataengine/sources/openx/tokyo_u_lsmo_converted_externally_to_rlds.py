"""LSMO (`tokyo_u_lsmo_converted_externally_to_rlds` 0.1.0): planned pick and place by a Denso Cobotta, 10 Hz.

observation/state  (t, 13)  x y z, three Euler angles, six joints, gripper's position -> state [x y z r p y gripper]
action             (t, 7)   x y z, three Euler angles, gripper's action               -> action, an absolute pose

The catalog documents the action as the end effector's position and angles; loaders read it as a motion. Units, the
order of the angles and which end of the gripper is open are not published: metres, radians as roll pitch yaw and 1
for open are taken. Joints stay in `raw_state`. One camera of 120x120.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class TokyoULsmoConvertedExternallyToRlds(RldsSource):
    """Motion planning around obstacles, one camera."""

    name: ClassVar[str] = "openx/tokyo_u_lsmo_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "cobotta_eef_target"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "action read as a pose; order of the angles; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 13, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Leave out the joints."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state[:, :6], state[:, 12]),
            action=columns(action),
            raw_state=columns(state),
            raw_action=columns(action),
            action_encoding="eef_pose",
        )
