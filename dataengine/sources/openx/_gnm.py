"""What the three navigation sets of GNM share.

observation/state    (t, 3)  position x y, yaw   -> state
action_angle         (t, 3)  position x y, yaw   -> action, as it is; `action` without yaw stays raw

Loaders spread these over x, y and a rotation of an arm, or make waypoints anew from the positions. The catalog calls
the action a position, so it is encoded as a pose; in which frame and unit it is, nobody says.
"""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class Gnm(RldsSource, ABC):
    """A base on wheels, one camera that looks ahead."""

    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "frame and unit of the action"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/state": 3,
        "observation/position": 2,
        "observation/yaw": 1,
        "action": 2,
        "action_angle": 3,
    }

    def convert(self, steps: Steps) -> Motion:
        """Take position and yaw."""
        return Motion(
            state=columns(steps["observation"]["state"]),
            action=columns(steps["action_angle"]),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
            action_encoding="eef_pose",
        )
