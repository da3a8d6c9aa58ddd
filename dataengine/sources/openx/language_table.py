"""Language Table (`language_table`, `language_table_sim` and its other folders): an xArm6 pushes blocks, 10 Hz.

observation/effector_translation         (t, 2)    x y of the peg in metres             -> state
action                                   (t, 2)    change of the peg's target in metres -> action
observation/effector_target_translation  (t, 2)    the target                           -> raw_state
observation/instruction                  (t, 512)  UTF-8 bytes as int32, zeros behind   -> instruction

The peg moves in a plane and there is no gripper: state and action have two numbers, where loaders pad to seven. One
camera of 360x640, scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns
from dataengine.sources.openx._texts import Said

TEXT = 512
"""Longest instruction in bytes."""


@dataclass(frozen=True)
class LanguageTable(RldsSource):
    """Pushing coloured blocks on a board, by open instructions."""

    name: ClassVar[str] = "openx/language_table"
    embodiment: ClassVar[str] = "xarm_planar"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "rgb"}
    instruction_key: ClassVar[str] = ""
    keys: ClassVar[Mapping[str, int]] = {
        "observation/effector_translation": 2,
        "observation/effector_target_translation": 2,
        "observation/instruction": TEXT,
        "action": 2,
    }

    def convert(self, steps: Steps) -> Motion:
        """Keep what there is: two numbers."""
        seen, action = steps["observation"], steps["action"]
        return Motion(
            state=columns(seen["effector_translation"]),
            action=columns(action),
            raw_state=untouched(seen["effector_translation"], seen["effector_target_translation"]),
            raw_action=untouched(action),
        )

    def instructions(self, steps: Steps) -> Said:
        """Decode the instruction wherever it changes."""
        codes = np.asarray(steps["observation"]["instruction"])
        starts = [0, *(np.flatnonzero(np.any(codes[1:] != codes[:-1], axis=1)) + 1).tolist()]
        ends = [*starts[1:], len(codes)]
        return [text for i, end in zip(starts, ends, strict=True) for text in [_text(codes[i])] * (end - i)]


def _text(codes: NDArray) -> str | bytes:
    """Decode one instruction: bytes of UTF-8, or code points where a number is no byte; it ends at the first zero.

    Bytes that are not UTF-8 are given back.
    """
    codes = codes[: np.argmax(codes == 0)] if (codes == 0).any() else codes
    if codes.max(initial=0) > 255:
        return "".join(map(chr, codes.clip(0, 0x10FFFF).tolist()))
    data = codes.clip(0).astype(np.uint8).tobytes()
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
