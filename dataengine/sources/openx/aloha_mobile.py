"""Mobile ALOHA (`aloha_mobile` 0.0.1 and 0.1.0): two arms on a moving base, 50 Hz.

observation/state  (t, 14)  six joints and gripper of the left arm, then of the right   -> state
action             (t, 16)  the same as targets, then two velocities of the base        -> action, mixed

Angles are radians, grippers 0 closed to 1 open, as ALOHA's recorder scales them; the catalog says neither, nor which
arm is first. Loaders of the field take every fifth step without making the actions anew; we keep all. 480x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.raw import untouched
from dataengine.sources.openx._aloha import NAMES
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns
from dataengine.vector_layout import VectorLayout, What, note_key

ARMS = VectorLayout.of("joint_position", 14)
ACTION: Mapping[What, tuple[object, ...]] = {
    "grippers": ARMS.grippers,
    "names": (*NAMES, "base forward", "base turn"),
    "units": (*ARMS.units, "metres_per_s", "radians_per_s"),
}


@dataclass(frozen=True)
class AlohaMobile(RldsSource):
    """Household tasks with both arms and the base, one camera above and one on each wrist."""

    name: ClassVar[str] = "openx/aloha_mobile"
    embodiment: ClassVar[str] = "aloha_mobile_joint"
    control_hz: ClassVar[float] = 50.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {
        "primary": "cam_high",
        "wrist": "cam_right_wrist",
        "wrist_2": "cam_left_wrist",
    }
    doubt: ClassVar[str] = "which arm is first; sense of the grippers"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 14, "action": 16}

    def convert(self, steps: Steps) -> Motion:
        """Keep joints, targets and velocities as they are."""
        state, action = columns(steps["observation"]["state"]), columns(steps["action"])
        return Motion(
            state=state,
            action=action,
            raw_state=untouched(steps["observation"]["state"]),
            raw_action=untouched(steps["action"]),
            state_encoding="joint_position",
            action_encoding="mixed",
            notes={note_key("action", what): ",".join(map(str, said)) for what, said in ACTION.items()}
            | {note_key("state", "names"): ",".join(NAMES)},
        )
