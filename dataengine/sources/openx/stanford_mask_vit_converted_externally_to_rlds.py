"""MaskViT's data (`stanford_mask_vit_converted_externally_to_rlds` 0.1.0): a Sawyer that pushes and picks in a bin.

observation/end_effector_pose  (t, 5)  x y z as parts of the way from low_bound to high_bound, yaw, gripper's position
                                       -> state [x y z in metres, yaw, gripper as it is]
action                         (t, 5)  motion of x y z and yaw, -1 opens, +1 closes -> action, gripper 0 to 1

RoboNet-style random interaction, recorded by visual_foresight, whose environment writes places as parts of the way
between the bounds: that is undone. Only yaw turns; loaders put it in the slot of roll and leave closed above open.
The gripper's command was read off the next state by the publisher's script; that script and visual_foresight do not
agree which end of the state is open, so the state's stays. The last action is a dummy: its step is left out unless
`keep_last_step`. No control rate is published; RoboNet's 1 Hz is taken. Joints, their speeds, finger sensors and
bounds stay in `raw_state`. One camera of 480x480, scaled.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, ClassVar

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class StanfordMaskVitConvertedExternallyToRlds(RldsSource):
    """Random pushing and picking, one camera."""

    _: KW_ONLY
    keep_last_step: Annotated[bool, "Keep the last step, whose action is a dummy of zeros."] = False

    name: ClassVar[str] = "openx/stanford_mask_vit_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "sawyer_yaw_only_unscaled"
    control_hz: ClassVar[float] = 1.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "control rate; scale of the motion; sense of the gripper's state"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/end_effector_pose": 5,
        "observation/state": 15,
        "observation/finger_sensors": 1,
        "observation/low_bound": 5,
        "observation/high_bound": 5,
        "action": 5,
    }

    def convert(self, steps: Steps) -> Motion:
        """Undo the bounds; turn the gripper's command round."""
        seen, action = steps["observation"], steps["action"]
        end = None if self.keep_last_step else -1
        low, high, pose = (seen[key][:end] for key in ("low_bound", "high_bound", "end_effector_pose"))
        position = low[:, :3] + pose[:, :3] * (high - low)[:, :3]
        return Motion(
            state=columns(position, pose[:, 3:]),
            action=columns(action[:end, :4], conventions.open_from_closing(action[:end, 4])),
            raw_state=self.raw(steps, "observation")[:end],
            raw_action=untouched(action[:end]),
        )
