"""BridgeData V2 in Open X-Embodiment's first edition (`bridge` 0.1.0): a WidowX 250 in toy kitchens, 5 Hz.

observation/state              (t, 7)  x y z in metres, roll pitch yaw, gripper 0 closed to 1 open  -> state
action/world_vector            (t, 3)  motion as commanded, kept raw
action/rotation_delta          (t, 3)  turn as commanded, kept raw
action/open_gripper            (t,)    bool, true is open                                         -> action[:, 6]

As in `openx/bridge_orig`, which supersedes this subset, the motion is taken from reached states, angles wrapped to
half a turn; step 0, whose action is all zero, is left out unless `keep_first_step`, and so is the last step. TFDS now
calls `bridge_data_v2/0.0.1` by the same name: read that with `openx/bridge_orig`. The published schema has one
camera of 480x640, scaled; loaders ask for a second, `image_1`, which is read where there is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx._rlds import Motion, Steps
from dataengine.sources.openx.bridge_orig import BridgeOrig


@dataclass(frozen=True)
class Bridge(BridgeOrig):
    """25,460 episodes for training; most of them are in `openx/bridge_orig` too."""

    name: ClassVar[str] = "openx/bridge"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "secondary": "image_1"}
    optional: ClassVar[frozenset[str]] = frozenset({"observation/image_1"})
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/state": 7,
        "action/world_vector": 3,
        "action/rotation_delta": 3,
        "action/open_gripper": 1,
        "action/terminate_episode": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Put the action side by side as the later edition has it, then relabel."""
        return super().convert({**steps, "action": self.raw(steps, "action").values})
