"""ROT (`nyu_rot_dataset_converted_externally_to_rlds` 0.1.0): an xArm's short tasks on a table, 3 Hz.

observation/state  (t, 7)  x y z, roll pitch yaw, gripper 0 open, 1 closed            -> state, gripper turned
action             (t, 7)  motion of x y z, roll pitch yaw, gripper 0 open, 1 closed  -> action, gripper turned

Loaders leave the grippers as they are, opposite to what they take everywhere else; we follow the catalog. It calls
the action's positions motions and its angles just angles: they are read as motions too. Units are not published.
84x84.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class NyuRotDatasetConvertedExternallyToRlds(RldsSource):
    """14 episodes of 14 tasks, one camera."""

    name: ClassVar[str] = "openx/nyu_rot_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "xarm_unscaled"
    unknown_units: ClassVar[tuple[str, ...]] = ("state", "action")
    control_hz: ClassVar[float] = 3.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "units; the turn is read as a motion"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 7, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Turn the grippers round."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state[:, :6], 1.0 - np.clip(state[:, 6], 0.0, 1.0)),
            action=columns(action[:, :6], 1.0 - np.clip(action[:, 6], 0.0, 1.0)),
            raw_state=untouched(state),
            raw_action=untouched(action),
        )
