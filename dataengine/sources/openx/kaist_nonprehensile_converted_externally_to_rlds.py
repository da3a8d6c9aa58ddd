"""KAIST Nonprehensile (`kaist_nonprehensile_converted_externally_to_rlds` 0.1.0): a Franka pushes and topples, 10 Hz.

observation/state  (t, 21)  seven times a joint and its speed, x y z, quaternion xyzw of the tool  -> state, the pose
action             (t, 20)  residual of x y z, residual of axis times angle, both in the base's frame, gains, damping
                            -> action[:, :6], the turn as roll pitch yaw

Loaders take axis times angle for three Euler angles and add a gripper that is closed for ever: the robot grasps
nothing, so neither state nor action has a gripper. Joints, their speeds, gains and damping stay raw. The cloud of 512
points is left out. One camera of 480x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class KaistNonprehensileConvertedExternallyToRlds(RldsSource):
    """Objects that cannot be grasped, one camera."""

    name: ClassVar[str] = "openx/kaist_nonprehensile_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka_no_gripper"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 21, "action": 20}

    def convert(self, steps: Steps) -> Motion:
        """Turn quaternions and axis angles into roll, pitch and yaw."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state[:, 14:17], conventions.quaternion_to_euler(state[:, 17:])),
            action=columns(action[:, :3], conventions.axis_angle_to_euler(action[:, 3:6])),
            raw_state=untouched(state),
            raw_action=untouched(action),
        )
