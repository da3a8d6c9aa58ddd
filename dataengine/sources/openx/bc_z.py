"""BC-Z (`bc_z` 0.1.0): Google mobile manipulators at a table, by teleoperation and corrected policies, 10 Hz.

observation/present/xyz                (t, 3)   metres, from the robot                 -> state[:, :3]
observation/present/axis_angle         (t, 3)   axis times angle in radians            -> state[:, 3:6], roll pitch yaw
observation/present/sensed_close       (t, 1)   1 closed; about 0.2 to 1 is reachable  -> state[:, 6], turned
action/future/xyz_residual             (t, 30)  the next ten motions, metres           -> action[:, :3], the first
action/future/axis_angle_residual      (t, 30)  the next ten changes of the axis angle -> action[:, 3:6], the first
action/future/target_close             (t, 10)  the next ten grippers, 1 closed        -> action[:, 6], first, turned

Feature names hold slashes. Loaders pass axis angles off as roll pitch yaw. A residual is added to the axis angle: the
turn from the present rotation to the sum is what the action holds, in the robot's frame. All ten steps stay in
`raw_action`, with `present/autonomous` (1 where a policy acted). Failures are kept, as loaders do, unless
`drop_failures`. Loaders call the versions behind 0.1.0 broken: they are refused unless `any_version`. One camera of
171x213.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from dataengine import conventions
from dataengine.episode import Part
from dataengine.errors import SourceError
from dataengine.formats import rlds
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns, lookup

SOUND_VERSION = "0.1.0"


@dataclass(frozen=True)
class BcZ(RldsSource):
    """A hundred table-top tasks, one head camera."""

    _: KW_ONLY
    drop_failures: Annotated[bool, "Leave out attempts that the publisher marks as failed."] = False
    any_version: Annotated[bool, "Read versions behind 0.1.0 too, which others found broken."] = False

    name: ClassVar[str] = "openx/bc_z"
    embodiment: ClassVar[str] = "google_robot"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/present/xyz": 3,
        "observation/present/axis_angle": 3,
        "observation/present/sensed_close": 1,
        "action/future/xyz_residual": 30,
        "action/future/axis_angle_residual": 30,
        "action/future/target_close": 10,
        "observation/present/autonomous": 1,
        "observation/episode_success": 1,
    }

    def parts(self) -> list[Part]:
        """List the shards, of the version that is known to be sound."""
        version = rlds.version(self.root)
        if version != SOUND_VERSION and not self.any_version:
            raise SourceError(
                f"{self.root}: found version {version or 'unknown'} of bc_z, expected {SOUND_VERSION}: later ones "
                "were found broken; get that one, or say --any-version"
            )
        return super().parts()

    def succeeded(self, record: Mapping[str, Any]) -> bool:
        """Take the publisher's label, which is the same at every step."""
        return bool(np.any(lookup(record["steps"], "observation/episode_success") > 0.5))

    def leave_out(self, record: Mapping[str, Any]) -> str | None:
        """Leave out failures on demand."""
        return (
            "the attempt failed (episode_success is 0)" if self.drop_failures and not self.succeeded(record) else None
        )

    def convert(self, steps: Steps) -> Motion:
        """Take the first of ten actions; turn sums of axis angles into turns of the gripper."""
        xyz, axis_angle, closed = (lookup(steps, key) for key in list(self.keys)[:3])
        move, turn, close = (lookup(steps, key) for key in list(self.keys)[3:6])
        now = conventions.axis_angle_to_matrix(axis_angle)
        target = conventions.axis_angle_to_matrix(axis_angle + turn[:, :3])
        return Motion(
            state=columns(xyz, conventions.matrix_to_euler(now), 1.0 - np.clip(closed, 0.0, 1.0)),
            action=columns(
                move[:, :3],
                conventions.matrix_to_euler(target @ now.swapaxes(1, 2)),
                1.0 - np.clip(close[:, 0], 0.0, 1.0),
            ),
            raw_state=untouched(xyz, axis_angle, closed),
            raw_action=untouched(move, turn, close, lookup(steps, "observation/present/autonomous")),
        )
