"""Meta-World: a Sawyer arm in MuJoCo, driven by the scripted experts of the benchmark, 20 Hz.

observation/hand_pos                  (t, 3)  metres                           -> state[:, :3]
observation/gripper_opening           (t, 1)  0 closed, about 1 open           -> state[:, 6], clipped to 0..1
action/world_vector                   (t, 3)  -1..1, of 0.04 m in a step       -> action[:, :3], metres
action/gripper_closedness_action      (t, 1)  -1 opens, +1 closes              -> action[:, 6], 0 closed to 1 open

The hand never turns: roll, pitch and yaw are zero, in the state and in the action.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataengine import conventions
from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns

METRES_PER_STEP = 0.04
"""The environment (80 Hz) moves its target by at most 0.01 m in a step of its own; 4 of them make one step here."""


@dataclass(frozen=True)
class Metaworld(RldsSource):
    """Simulated table-top tasks, one camera, one Sawyer."""

    name: ClassVar[str] = "openx/metaworld"
    embodiment: ClassVar[str] = "sawyer"
    control_hz: ClassVar[float] = 20.0
    licence: ClassVar[str] = "MIT"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "image"}
    instruction_key: ClassVar[str] = "observation/natural_language_instruction"
    keys: ClassVar[Mapping[str, int]] = {
        "observation/hand_pos": 3,
        "observation/gripper_opening": 1,
        "action/world_vector": 3,
        "action/gripper_closedness_action": 1,
    }

    def convert(self, steps: Steps) -> Motion:
        """Scale the commands to metres and turn the gripper to 0 closed, 1 open."""
        hand, opening = steps["observation"]["hand_pos"], steps["observation"]["gripper_opening"]
        move, close = steps["action"]["world_vector"], steps["action"]["gripper_closedness_action"]
        no_turn = np.zeros((len(hand), 3), np.float32)
        return Motion(
            state=columns(hand, no_turn, np.clip(opening, 0.0, 1.0)),
            action=columns(move * METRES_PER_STEP, no_turn, conventions.open_from_closing(close)),
            raw_state=untouched(hand, opening),
            raw_action=untouched(move, close),
        )
