"""Stanford HYDRA: a Franka Panda makes coffee and toast and sorts dishes, teleoperated, 10 Hz.

observation/state  (t, 27)  x y z in metres, quaternion, roll pitch yaw in radians, seven joints, seven joint speeds,
                            the gripper's width in metres, position and 1 open
                            -> state [x y z, roll pitch yaw, width over 0.08 m]; the rest stays raw
action             (t, 7)   motion in metres, roll pitch yaw in radians, 1 closes
                            -> action, the gripper clipped and turned: 0 closed to 1 open

Both cameras have red and blue swapped; we swap them back. `is_dense`, which tells waypoints from dense motion, stays
in `raw_action`. Images are 240x320 and are scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

FULL_WIDTH_M = 0.08


@dataclass(frozen=True)
class StanfordHydraDatasetConvertedExternallyToRlds(RldsSource):
    """Long-horizon kitchen tasks, one camera beside the table and one on the hand."""

    name: ClassVar[str] = "openx/stanford_hydra_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image", "wrist": "wrist_image"}
    bgr: ClassVar[frozenset[str]] = frozenset({"primary", "wrist"})
    doubt: ClassVar[str] = "order of the state's Euler angles; unit of the gripper's width"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 27, "action": 7, "is_dense": 1}

    def convert(self, steps: Steps) -> Motion:
        """Take pose and width out of the state; turn the gripper."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state[:, :3], state[:, 7:10], np.clip(state[:, 24] / FULL_WIDTH_M, 0.0, 1.0)),
            action=columns(action[:, :6], 1.0 - np.clip(action[:, 6], 0.0, 1.0)),
            raw_state=untouched(state),
            raw_action=untouched(action, steps["is_dense"]),
        )
