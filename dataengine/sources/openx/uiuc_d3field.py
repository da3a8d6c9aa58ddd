"""D3Fields (`uiuc_d3field` 0.1.0): a Kinova Gen3 that tidies a desk, 1 Hz.

observation/state  (t, 4, 4)  the gripper's base as a homogeneous matrix -> state [x y z roll pitch yaw]
action             (t, 3)     see below                                  -> made anew: the motion to the next state

The publisher keeps every tenth frame but stores as the action how far the robot came since the frame just before,
a tenth of the way and past: the motion is made anew from the states, without the last step, and the published action
stays in `raw_action`. There is no gripper; loaders fill it and the turn with zeros. Two projects in the field report
the published files as broken: look at a few episodes before training on them. Texts are empty. Cameras 1 and 2 of
four, 360x640, scaled; the depth of all (16-bit PNG) is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns, pose_of_matrix


@dataclass(frozen=True)
class UiucD3field(RldsSource):
    """Desks and utensils, two of its four cameras."""

    name: ClassVar[str] = "openx/uiuc_d3field"
    embodiment: ClassVar[str] = "kinova_gen3_no_gripper"
    control_hz: ClassVar[float] = 1.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image_1", "secondary": "image_2"}
    doubt: ClassVar[str] = "action made anew from the states; files said to be broken"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 16, "action": 3}

    def convert(self, steps: Steps) -> Motion:
        """Take poses out of the matrices, and the motion from one to the next."""
        state = steps["observation"]["state"]
        pose = pose_of_matrix(state)
        return Motion(
            state=columns(pose[:-1]),
            action=columns(conventions.motion_between(pose)),
            raw_state=untouched(state[:-1]),
            raw_action=untouched(steps["action"][:-1]),
        )
