"""What the three navigation sets of GNM share.

observation/state    (t, 3)  position x y in metres, yaw                     -> state
action_angle         (t, 3)  the way to the next position, and change of yaw -> action, yaw wrapped

By the publisher's script the action is the next position as seen by the robot: x ahead, y to its left; at the end of
an episode it is zero. The catalog calls it a position, loaders spread it over x, y and a rotation of an arm. `action`
without yaw stays in `raw_action`.
"""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class Gnm(RldsSource, ABC):
    """A base on wheels, one camera that looks ahead."""

    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    keys: ClassVar[Mapping[str, int]] = {
        "observation/state": 3,
        "observation/position": 2,
        "observation/yaw": 1,
        "action": 2,
        "action_angle": 3,
    }

    def convert(self, steps: Steps) -> Motion:
        """Take position and yaw."""
        way = steps["action_angle"]
        return Motion(
            state=columns(steps["observation"]["state"]),
            action=columns(way[:, :2], conventions.wrap_angle(way[:, 2])),
            raw_state=self.raw(steps, "observation"),
            raw_action=self.raw(steps, "action"),
        )
