"""Golden rollouts of simulators, in a file each: a few kilobytes of actions, states and blocks of pictures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataengine.errors import DataEngineError
from dataengine.whole_file import whole_file
from pipelines.evaluation.calibrate.rollout import Rollout

FOLDER = Path(__file__).parent / "golden"


def shipped(simulator: str) -> Path:
    """Name the file that comes with this package; it may not be there."""
    return FOLDER / f"{simulator}.npz"


def save(path: Path, rollouts: Sequence[Rollout], facts: dict[str, str]) -> None:
    """Write rollouts, and which versions of what they were recorded with."""
    arrays, heads = dict[str, Any](), []
    for i, one in enumerate(rollouts):
        cameras = {camera: sorted(by_step) for camera, by_step in one.looks.items()}
        heads.append({"task": one.task, "seed": one.seed, "success_step": one.success_step, "cameras": cameras})
        arrays |= {f"actions_{i}": one.actions, f"states_{i}": one.states}
        for camera, by_step in one.looks.items():
            arrays[f"looks_{i}_{camera}"] = np.stack([by_step[step] for step in cameras[camera]]).astype(np.float16)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps({"rollouts": heads, "facts": facts})), **arrays)


def load(path: Path) -> tuple[list[Rollout], dict[str, str]]:
    """Read them back; raise DataEngineError for what is no such file."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            about = json.loads(str(kept["about"]))
            rollouts = [
                Rollout(
                    task=head["task"],
                    seed=head["seed"],
                    success_step=head["success_step"],
                    actions=kept[f"actions_{i}"],
                    states=kept[f"states_{i}"],
                    looks={
                        camera: dict(zip(steps, kept[f"looks_{i}_{camera}"].astype(np.float32), strict=True))
                        for camera, steps in head["cameras"].items()
                    },
                )
                for i, head in enumerate(about["rollouts"])
            ]
            return rollouts, about["facts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataEngineError(f"{path}: no golden rollouts ({type(error).__name__}: {error})") from None
