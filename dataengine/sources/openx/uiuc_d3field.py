"""D3Fields (`uiuc_d3field` 0.1.0): a Kinova Gen3 that tidies a desk, 1 Hz.

observation/state  (t, 4, 4)  the end effector as a homogeneous matrix -> state [x y z roll pitch yaw]
action             (t, 3)     displacement since the last frame        -> action [x y z]

There is no gripper and no turn in the action; loaders fill both with zeros, we do not. Two projects in the field
report the published files as broken: look at a few episodes before training on them. Units are not published. Cameras
1 and 2 of four, 360x640, scaled; the depth of all (16-bit PNG) is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns, pose_of_matrix


@dataclass(frozen=True)
class UiucD3field(RldsSource):
    """Desks and utensils, two of its four cameras."""

    name: ClassVar[str] = "openx/uiuc_d3field"
    embodiment: ClassVar[str] = "kinova_gen3_translation"
    control_hz: ClassVar[float] = 1.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image_1", "secondary": "image_2"}
    doubt: ClassVar[str] = "files said to be broken; units"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 16, "action": 3}

    def convert(self, steps: Steps) -> Motion:
        """Take the pose out of the matrix."""
        state, action = steps["observation"]["state"], columns(steps["action"])
        return Motion(state=columns(pose_of_matrix(state)), action=action, raw_state=columns(state), raw_action=action)
