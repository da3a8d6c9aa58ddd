"""MaskViT's data (`stanford_mask_vit_converted_externally_to_rlds` 0.1.0): a Sawyer that pushes and picks in a bin.

observation/end_effector_pose  (t, 5)  x y z, yaw, gripper's position; only yaw turns -> state [x y z yaw gripper]
action                         (t, 5)  motion of x y z, yaw, -1 opens, +1 closes      -> action, gripper 0 to 1

Loaders put yaw in the slot of roll and leave the gripper's command in -1..1 with closed above open: we follow the
catalog. No control rate is published: the fields, the bounds among them, are RoboNet's, and so are the 31 steps of
an episode, so its 1 Hz is taken. The bounds are said to normalise the pose; whether the stored one is normalised
already, and whether the action's yaw is a motion like x y z, is open. Joints, their speeds, finger sensors and the
bounds are kept in `raw_state`. One camera of 480x480, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine import conventions
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class StanfordMaskVitConvertedExternallyToRlds(RldsSource):
    """Random pushing and picking, one camera."""

    name: ClassVar[str] = "openx/stanford_mask_vit_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "sawyer_yaw_only"
    control_hz: ClassVar[float] = 1.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "control rate; units of the pose; yaw of the action"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/end_effector_pose": 5,
        "observation/state": 15,
        "observation/finger_sensors": 1,
        "observation/low_bound": 5,
        "observation/high_bound": 5,
        "action": 5,
    }

    def convert(self, steps: Steps) -> Motion:
        """Turn the gripper's command round."""
        action = steps["action"]
        return Motion(
            state=columns(steps["observation"]["end_effector_pose"]),
            action=columns(action[:, :4], conventions.open_from_closing(action[:, 4])),
            raw_state=self.raw(steps, "observation"),
            raw_action=columns(action),
        )
