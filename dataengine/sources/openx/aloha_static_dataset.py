"""ALOHA on a table (`aloha_static_dataset`, `aloha_dagger_dataset`): two arms, 50 Hz; Octo's editions.

observation/state  (t, 14)  six joints and gripper of the left arm, then of the right -> state
action             (t, 14)  the same as targets                                       -> action

Known from a loader alone, hence the doubts of aloha_mobile.py; both sets are read by this source. A camera on the
left wrist is taken where an edition has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.raw import untouched
from dataengine.sources.openx._aloha import NAMES
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns
from dataengine.vector_layout import note_key


@dataclass(frozen=True)
class AlohaStaticDataset(RldsSource):
    """Fine manipulation with both arms, two static cameras and one on each wrist."""

    name: ClassVar[str] = "openx/aloha_static_dataset"
    embodiment: ClassVar[str] = "aloha_joint"
    control_hz: ClassVar[float] = 50.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {
        "primary": "cam_high",
        "secondary": "cam_low",
        "wrist": "cam_right_wrist",
        "wrist_2": "cam_left_wrist",
    }
    optional: ClassVar[frozenset[str]] = frozenset({"observation/cam_left_wrist"})
    doubt: ClassVar[str] = "which arm is first; sense of the grippers"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 14, "action": 14}

    def convert(self, steps: Steps) -> Motion:
        """Keep joints and targets as they are."""
        state, action = columns(steps["observation"]["state"]), columns(steps["action"])
        return Motion(
            state=state,
            action=action,
            raw_state=untouched(steps["observation"]["state"]),
            raw_action=untouched(steps["action"]),
            state_encoding="joint_position",
            action_encoding="joint_position",
            notes={note_key(column, "names"): ",".join(NAMES) for column in ("state", "action")},
        )
