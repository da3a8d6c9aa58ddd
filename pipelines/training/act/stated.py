"""What a policy at rest says of itself; nothing here needs torch until a folder is opened."""

from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError


def stated(directory: str | Path) -> tuple[Path, dict[str, Any]]:
    """Find a policy in the folder of a run or of a checkpoint; return where, and all that its settings say."""
    from models import weights
    from models.files import why_no_weights
    from pipelines.training import checkpoint

    path = Path(directory)
    if not (path / weights.CONFIG_NAME).exists():
        if not checkpoint.steps(path / "checkpoints"):
            raise DataEngineError(f"{path}: no policy there, {_where_instead(path)}")
        path = checkpoint.newest_whole(path / "checkpoints")
    if not (path / weights.WEIGHTS_NAME).exists() and checkpoint.step_of(path) is not None:
        raise DataEngineError(why_no_weights(path, f"no {weights.WEIGHTS_NAME}; copy it again"))
    about = weights.read_config(path)
    if "bodies" not in about:
        architecture = about.get("architecture")
        if architecture == "Act":
            raise DataEngineError(f"{path}: {weights.CONFIG_NAME} names no embodiments; copy it again")
        raise DataEngineError(f"{path}: holds a {architecture!s:.80}, expected a policy that `villa train act` wrote")
    return path, about


def _where_instead(path: Path) -> str:
    from models.missing import models_below

    below = models_below(path, "Act")
    return f"but in {', '.join(below)}: give one of them" if below else "expected a folder that `villa train act` wrote"


def unfinished(directory: str | Path) -> str:
    """Say how far the training of a policy had come, where what is found is a checkpoint on the way; else nothing."""
    from pipelines.training import checkpoint

    path, about = stated(directory)
    step, steps = checkpoint.step_of(path), (about.get("training") or {}).get("steps")
    return f"step {step} of {steps}" if step is not None and isinstance(steps, int) and step < steps else ""
