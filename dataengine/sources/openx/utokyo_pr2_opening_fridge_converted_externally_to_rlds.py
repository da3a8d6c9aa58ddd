"""U-Tokyo PR2, fridges (`utokyo_pr2_opening_fridge_converted_externally_to_rlds` 0.1.0): one arm of a PR2, 10 Hz.

observation/state  (t, 7)  x y z, roll pitch yaw, gripper's position                  -> state
action             (t, 8)  x y z, roll pitch yaw, gripper's command, flag that ends   -> action, an absolute pose,
                           without the flag

The catalog documents the action as the end effector's position and angles; loaders read it as a motion.
`action_reads_as` in the notes tells what the numbers look like. Units and which end of the gripper is open are not
published: metres, radians and 1 for open are taken. 128x128.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.raw import untouched
from dataengine.sources.openx import _target
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class UtokyoPr2OpeningFridgeConvertedExternallyToRlds(RldsSource):
    """One task, one camera."""

    name: ClassVar[str] = "openx/utokyo_pr2_opening_fridge_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "pr2_eef_target"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "action read as a pose; units; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 7, "action": 8}

    def convert(self, steps: Steps) -> Motion:
        """Leave out the flag."""
        state, action = steps["observation"]["state"], steps["action"]
        return Motion(
            state=columns(state),
            action=columns(action[:, :7]),
            raw_state=untouched(state),
            raw_action=untouched(action),
            action_encoding="eef_pose",
            notes={"action_reads_as": _target.reads_as(action[:, :3], state[:, :3])},
        )
