"""BridgeData V2, the original release: a WidowX 250, teleoperated in toy kitchens, 5 Hz.

state   (t, 7)  x y z in metres, roll pitch yaw relative to a pose that looks down, gripper 0 closed to 1 open
                -> state, the gripper clipped to 0..1
action  (t, 7)  motion as commanded, gripper 0..1
                -> action[i] = state[i + 1] - state[i] for the pose, angles wrapped to half a turn;
                   gripper made binary: what is undecided takes the next decided value

Reads the folders `bridge_dataset/1.0.0` (its publisher's name), `bridge_orig/1.0.0` (the same, renamed by loaders) and
`bridge_data_v2/0.0.1` (TFDS); the older `bridge/0.1.0` of Open X-Embodiment has another schema. Step 0 holds an action
of zeros and is left out unless `keep_first_step`; the last step has no next state and is left out. The published
differences of angles jump by a full turn, ours do not. Cameras that were not there are stored as black images:
`image_1` of such episodes is dropped; `image_2` and `image_3` are not read. About 30 % of steps have no instruction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, ClassVar

import numpy as np

from dataengine import conventions
from dataengine.formats import jpeg
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class BridgeOrig(RldsSource):
    """Household manipulation in 24 environments, two of its four cameras."""

    _: KW_ONLY
    keep_first_step: Annotated[bool, "Keep step 0, whose commanded action is all zero."] = False

    name: ClassVar[str] = "openx/bridge_orig"
    embodiment: ClassVar[str] = "widowx"
    control_hz: ClassVar[float] = 5.0
    licence: ClassVar[str] = "CC BY 4.0"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image_0", "secondary": "image_1"}
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 7, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Relabel the motion from reached states, without the first and the last step."""
        first = 0 if self.keep_first_step else 1
        state, action = steps["observation"]["state"][first:], steps["action"][first:]
        motion = np.diff(state[:, :6], axis=0)
        motion[:, 3:] = conventions.wrap_angle(motion[:, 3:])
        return Motion(
            state=columns(state[:-1, :6], np.clip(state[:-1, 6], 0.0, 1.0)),
            action=columns(motion, conventions.open_by_look_ahead(action[:, 6])[:-1]),
            raw_state=untouched(state[:-1]),
            raw_action=untouched(action[:-1]),
            first_step=first,
        )

    def is_absent(self, slot: str, images: Sequence[bytes]) -> bool:
        """Take a black first image for a camera that was not there."""
        return super().is_absent(slot, images) or (slot != "primary" and jpeg.is_black(images[0]))
