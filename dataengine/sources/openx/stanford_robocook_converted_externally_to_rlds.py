"""RoboCook (`stanford_robocook_converted_externally_to_rlds` 0.1.0): a Franka that makes dumplings with tools, 5 Hz.

observation/state  (t, 7)  x y z, roll pitch yaw, metres between the fingers -> state, the gripper over 0.08 m
action             (t, 7)  the motion to the next state, zeros at the end    -> action, the gripper absolute

The catalog calls the action velocities; by the publisher's script it is the difference between the next state and this
one, its turn in the base's frame, and that of the gripper the change of its width: it is added to the width. Colours
are made from point clouds, holes in them are as published. Cameras 1 and 2 of four; the depth of all is left out.
256x256.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

FULL_WIDTH_M = 0.08


@dataclass(frozen=True)
class StanfordRobocookConvertedExternallyToRlds(RldsSource):
    """Soft dough and many tools, two of its four cameras."""

    name: ClassVar[str] = "openx/stanford_robocook_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka"
    control_hz: ClassVar[float] = 5.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image_1", "secondary": "image_2"}
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 7, "action": 7}

    def convert(self, steps: Steps) -> Motion:
        """Tell the gripper's width, and where the action brings it, as parts of the whole."""
        state, action = steps["observation"]["state"], steps["action"]
        width_m = state[:, 6]
        return Motion(
            state=columns(state[:, :6], np.clip(width_m / FULL_WIDTH_M, 0.0, 1.0)),
            action=columns(action[:, :6], np.clip((width_m + action[:, 6]) / FULL_WIDTH_M, 0.0, 1.0)),
            raw_state=untouched(state),
            raw_action=untouched(action),
        )
