"""UCSD Pick and Location (`ucsd_pick_and_place_dataset_converted_externally_to_rlds` 0.1.0): an xArm, 3 Hz.

observation/state  (t, 7)  x y z, three angles, distance of the fingers                       -> state, as it is
action             (t, 4)  velocity of x y z, torque that opens and closes the gripper        -> action, turn zero,
                           gripper 0 closed to 1 open

The catalog documents velocities, others measured them within -1..1: commands of no published scale. Loaders read them
as motions. The way of the gripper's torque is decided by the distance of the fingers. Units of the state and the
order of its angles are not published. Episodes whose `success` is false are left out unless `keep_failures`; loaders
keep them. 224x224.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from dataengine.raw import untouched
from dataengine.sources.openx import _gripper
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns, lookup

SUCCESS = "episode_metadata/success"


@dataclass(frozen=True)
class UcsdPickAndPlaceDatasetConvertedExternallyToRlds(RldsSource):
    """Successes and failures of people and policies, one camera."""

    _: KW_ONLY
    keep_failures: Annotated[bool, "Keep attempts that the publisher marks as failed."] = False

    name: ClassVar[str] = "openx/ucsd_pick_and_place_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "xarm_eef_velocity_unscaled"
    unknown_units: ClassVar[tuple[str, ...]] = ("state", "action")
    control_hz: ClassVar[float] = 3.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    episode_keys: ClassVar[tuple[str, ...]] = (SUCCESS,)
    doubt: ClassVar[str] = "units of the state and of the velocities"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 7, "action": 4}

    def succeeded(self, record: Mapping[str, Any]) -> bool:
        """Take the publisher's flag."""
        return bool(lookup(record, SUCCESS))

    def leave_out(self, record: Mapping[str, Any]) -> str | None:
        """Leave out what the publisher marks as failed."""
        return None if self.keep_failures or self.succeeded(record) else f"the attempt failed ({SUCCESS} is false)"

    def convert(self, steps: Steps) -> Motion:
        """Let the fingers say which way the gripper's torque goes."""
        state, action = steps["observation"]["state"], steps["action"]
        gripper, notes = _gripper.opening(action[:, 3], state[:, 6], plus_one="opens")
        return Motion(
            state=columns(state),
            action=columns(action[:, :3], np.zeros_like(action[:, :3]), gripper),
            raw_state=untouched(state),
            raw_action=untouched(action),
            action_encoding="eef_velocity",
            notes=notes,
        )
