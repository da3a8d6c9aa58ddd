"""OpenVLA's table-top Franka (`tdroid_carrot_in_bowl` and five more `tdroid_*`), for fine-tuning, 5 Hz.

observation/cartesian_position  (t, 6)  x y z in metres, roll pitch yaw -> state[:, :6]
observation/gripper_position    (t, 1)                                  -> state[:, 6], as it is
action                          (t, 7)  motion, gripper                 -> action, gripper made binary: what is
                                                                           undecided takes the next decided value

No documentation: slices and the gripper's rule are those of the people who recorded it. Neither the scale of the
motion nor which end of the gripper is open is told. The depth of the one camera is left out. Each of the six tasks is
a folder of its own; all are read by this source.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class Tdroid(RldsSource):
    """Six tasks on a table, one static camera."""

    name: ClassVar[str] = "openx/tdroid"
    embodiment: ClassVar[str] = "franka_unscaled"
    control_hz: ClassVar[float] = 5.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "static_image"}
    doubt: ClassVar[str] = "scale of the motion; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/cartesian_position": 6,
        "observation/gripper_position": 1,
        "action": 7,
    }

    def convert(self, steps: Steps) -> Motion:
        """Make the gripper's command binary."""
        action = steps["action"]
        raw_state = self.raw(steps, "observation")
        return Motion(
            state=raw_state.values,
            action=columns(action[:, :6], conventions.open_by_look_ahead(action[:, 6])),
            raw_state=raw_state,
            raw_action=untouched(action),
        )
