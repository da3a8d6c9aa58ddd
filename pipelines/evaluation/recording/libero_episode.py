"""A recorded LIBERO episode as the simulator's environment wrote it, and its steps as RLDS has them."""

from pathlib import Path
from typing import Any

import numpy as np

from dataengine.formats import jpeg

VERSION = "1.0.0"
"""Of the RLDS dataset."""


def load(file: Path) -> dict[str, Any]:
    """Read an episode that the simulator's environment wrote."""
    with np.load(file, allow_pickle=False) as kept:
        return {key: kept[key] for key in kept.files}


def steps_of(episode: dict[str, Any]) -> list[dict[str, Any]]:
    """Lay out the steps as in OpenVLA's edition: what the expert wanted, pictures turned by 180 degrees."""
    count = len(episode["action"])
    state = np.concatenate([episode["position"], episode["rotation"], episode["fingers"]], axis=1).astype(np.float32)
    return [
        {
            "observation": {
                "image": jpeg.encode(episode["image"][i, ::-1, ::-1]),
                "wrist_image": jpeg.encode(episode["wrist"][i, ::-1, ::-1]),
                "state": state[i],
                "joint_state": episode["joints"][i].astype(np.float32),
            },
            "action": episode["action"][i].astype(np.float32),
            "language_instruction": str(episode["instruction"]),
            "reward": float(i == count - 1),
            "discount": 1.0,
            "is_first": i == 0,
            "is_last": i == count - 1,
            "is_terminal": i == count - 1,
        }
        for i in range(count)
    ]
