"""Weblab's two xArms (`utokyo_xarm_bimanual_converted_externally_to_rlds` 0.1.0): towels are reached, unfolded, 10 Hz.

observation/pose_l, pose_r  (t, 6)   x y z, yaw pitch roll of each arm             -> state (t, 12), left then right
action                      (t, 14)  x y z, yaw pitch roll, gripper; left, right   -> action, two absolute poses

Loaders keep the right arm alone and take its action for a motion; both arms are kept, angles as roll pitch yaw. The
catalog documents positions and orientations; `action_reads_as` in the notes tells what the right arm's look like. The
grippers' state is not recorded. Units and which end of the grippers is open are not published: metres, radians and 1
for open are taken. `action_l` and `action_r` repeat the action and are left out. One camera of 256x256.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.raw import untouched
from dataengine.sources.openx import _target
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

POSE = [0, 1, 2, 5, 4, 3]
"""Where x, y, z, roll, pitch and yaw are."""
LEFT, RIGHT = slice(0, 7), slice(7, 14)


@dataclass(frozen=True)
class UtokyoXarmBimanualConvertedExternallyToRlds(RldsSource):
    """Two tasks with towels, one camera."""

    name: ClassVar[str] = "openx/utokyo_xarm_bimanual_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "xarm_bimanual_no_gripper_state_eef_target"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    doubt: ClassVar[str] = "action read as a pose; units; sense of the grippers"
    keys: ClassVar[Mapping[str, int]] = {"observation/pose_l": 6, "observation/pose_r": 6, "action": 14}

    def convert(self, steps: Steps) -> Motion:
        """Order the angles of both arms."""
        left, right = steps["observation"]["pose_l"], steps["observation"]["pose_r"]
        action = steps["action"]
        return Motion(
            state=columns(left[:, POSE], right[:, POSE]),
            action=columns(action[:, LEFT][:, [*POSE, 6]], action[:, RIGHT][:, [*POSE, 6]]),
            raw_state=self.raw(steps, "observation"),
            raw_action=untouched(action),
            action_encoding="eef_pose",
            notes={"action_reads_as": _target.reads_as(action[:, RIGHT][:, :3], right[:, :3])},
        )
