"""What a policy at rest says of itself; nothing here needs torch until a folder is opened."""

from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError


def stated(directory: str | Path) -> tuple[Path, dict[str, Any]]:
    """Find a policy in the folder of a run or of a checkpoint; return where, and all that its settings say."""
    from models import weights
    from pipelines.training import checkpoint

    place = Path(directory)
    if not (place / weights.CONFIG_NAME).exists():
        if not checkpoint.steps(place / "checkpoints"):
            raise DataEngineError(f"{place}: no policy there, expected a folder that `villa train act` wrote")
        place = checkpoint.newest_whole(place / "checkpoints")
    about = weights.read_config(place)
    if "bodies" not in about:
        found = about.get("architecture")
        raise DataEngineError(f"{place}: holds a {found!s:.80}, expected a policy that `villa train act` wrote")
    return place, about


def unfinished(directory: str | Path) -> str:
    """Say how far the training of a policy had come, where what is found is a checkpoint on the way; else nothing."""
    from pipelines.training import checkpoint

    place, about = stated(directory)
    step, steps = checkpoint.step_of(place), (about.get("training") or {}).get("steps")
    return f"step {step} of {steps}" if step is not None and isinstance(steps, int) and step < steps else ""
