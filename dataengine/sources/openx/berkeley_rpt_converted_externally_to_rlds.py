"""RPT (`berkeley_rpt_converted_externally_to_rlds` 0.1.0): a Franka picks and stacks, seen from its hand, 30 Hz.

observation/joint_pos  (t, 7)  seven joints                                    -> state[:, :7]
observation/gripper    (t,)    bool, true is closed                            -> state[:, 7], turned
action                 (t, 8)  motion of seven joints, gripper 1 closed        -> action, gripper turned

The catalog copies "xArm" from MVP's; the robot is a Franka. One of two loaders keeps every third step and computes
the motion of the joints anew: every step is kept here. The gripper of the action is taken to mean what the state's
does, which alone is documented. Radians are taken for the joints. The only camera is at the hand. 480x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx.berkeley_mvp_converted_externally_to_rlds import BerkeleyMvpConvertedExternallyToRlds


@dataclass(frozen=True)
class BerkeleyRptConvertedExternallyToRlds(BerkeleyMvpConvertedExternallyToRlds):
    """Picking, stacking and destacking, one camera in the hand."""

    name: ClassVar[str] = "openx/berkeley_rpt_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka_joint_delta"
    control_hz: ClassVar[float] = 30.0
    keys: ClassVar[Mapping[str, int]] = {"observation/joint_pos": 7, "observation/gripper": 1, "action": 8}
