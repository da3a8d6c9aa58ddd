"""LSMO (`tokyo_u_lsmo_converted_externally_to_rlds` 0.1.0): planned pick and place by a Denso Cobotta, 10 Hz.

observation/state  (t, 13)  x y z, three Euler angles, six joints, gripper's position -> state [x y z r p y gripper]
action             (t, 7)   changes of x y z and of the angles, gripper's action      -> action, angles wrapped

The catalog calls the action a position; in the publisher's own files it is a change of parts of a millimetre in a
step, zero at the end, in which angles jump by a full turn: they are wrapped. The order of the angles and which end of
the gripper is open are not published: roll pitch yaw and 1 for open are taken. Joints stay in `raw_state`. One camera
of 120x120.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class TokyoULsmoConvertedExternallyToRlds(RldsSource):
    """Motion planning around obstacles, one camera."""

    name: ClassVar[str] = "openx/tokyo_u_lsmo_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "cobotta"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "order of the angles; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 13, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Leave out the joints; wrap the changes of angles."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state[:, :6], state[:, 12]),
            action=columns(action[:, :3], conventions.wrap_angle(action[:, 3:6]), action[:, 6]),
            raw_state=untouched(state),
            raw_action=untouched(action),
        )
