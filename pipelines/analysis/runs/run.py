"""What the folder of a training says of it: nothing but small files is read."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from dataengine.errors import DataEngineError
from dataengine.report import Report
from models.weights import CONFIG_NAME
from pipelines.html import curves
from pipelines.output.folder import is_held
from pipelines.output.marker import MARKER
from pipelines.training import checkpoint

INSIDE = frozenset(("checkpoints", "tensorboard", "wandb", "hangs"))
"""Folders of a run in which no other run lies."""

KINDS = {"train lam": "lam", "train act": "act", "train world": "world", "finetune": "act"}
"""By command."""


class Run(Report):
    """A training, as far as it is."""

    path: str
    kind: str
    """`lam`, `act`, `world` or the name of a model of one's own, which is empty before the first checkpoint."""
    state: Literal["running", "finished", "stopped"]
    step: int
    """Of the last entry of its metrics, or of the newest checkpoint where that is later."""
    steps: int | None
    """That it was to take; None before the first checkpoint."""
    loss: float | None
    val_loss: float | None
    """The lowest on held-out windows; of a LAM, since its codebook started."""
    val_step: int | None
    """Step of that."""
    samples_per_s: float | None
    mfu: float | None
    data_wait: float | None
    bad_steps: int
    """Written to bad_steps.jsonl."""


def below(folders: Sequence[Path]) -> list[Path]:
    """Find the runs in some folders, or that these are; raise DataEngineError where there is none."""
    runs = [run for folder in folders for run in _below(folder)]
    if not runs:
        raise DataEngineError(
            f"{', '.join(map(str, folders))}: no training there, expected a folder with metrics.jsonl or checkpoints/"
        )
    return list(dict.fromkeys(runs))


def _below(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise DataEngineError(f"{folder}: no such folder; give one that holds trainings")
    if is_run(folder):
        yield folder
    for inner in sorted(folder.iterdir()):
        if inner.is_dir() and not inner.is_symlink() and inner.name not in INSIDE and not inner.name.endswith(".lance"):
            yield from _below(inner)


def is_run(folder: Path) -> bool:
    """Tell whether a folder is one of a training."""
    return (folder / "metrics.jsonl").is_file() or bool(checkpoint.steps(folder / "checkpoints"))


def read(folder: Path) -> Run:
    """Read how far a training is."""
    entries = curves.read(folder / "metrics.jsonl")
    trained = [e for e in entries if "loss" in e]
    counted = [e for e in entries if e.get("step", 0) >= lowest_from(folder)]
    held_out = [e for e in counted if math.isfinite(e.get("val_loss", math.nan))]
    best = min(held_out, key=lambda e: e["val_loss"], default={})
    last, saved = (trained[-1] if trained else {}), _json(_newest(folder) / checkpoint.STATE_NAME)
    steps, step = saved.get("elastic", {}).get("steps"), max(int(last.get("step", 0)), int(saved.get("step", 0)))
    finished = bool(_json(folder / "report.json").get("finished")) and step == steps
    bad = folder / "bad_steps.jsonl"
    return Run(
        path=str(folder),
        kind=str(_about(folder).get("architecture", "")).lower() or _begun(folder),
        state="running" if is_held(folder) else "finished" if finished else "stopped",
        step=step,
        steps=steps,
        loss=last.get("loss"),
        val_loss=best.get("val_loss"),
        val_step=best.get("step"),
        bad_steps=len(bad.read_text(encoding="utf-8").splitlines()) if bad.is_file() else 0,
        **{name: last.get(name) for name in ("samples_per_s", "mfu", "data_wait")},
    )


def lowest_from(folder: Path) -> int:
    """Give the step from which on losses on held-out windows count for the lowest; 0 before the first checkpoint."""
    return int(_json(_newest(folder) / checkpoint.STATE_NAME).get("validation", {}).get("best_from", 0))


def settings(folder: Path) -> Mapping[str, Any]:
    """Give the settings that a run's losses depend on; none before its first checkpoint."""
    return _about(folder).get("training", {})


def _begun(folder: Path) -> str:
    """Tell the kind by the command that began the run."""
    return KINDS.get(str(_json(folder / MARKER).get("command")), "")


def _about(folder: Path) -> dict[str, Any]:
    """Read `model_config.json`, of the finished model or of the newest checkpoint."""
    return _json(folder / CONFIG_NAME) or _json(_newest(folder) / CONFIG_NAME)


def _newest(folder: Path) -> Path:
    steps = checkpoint.steps(folder / "checkpoints")
    return checkpoint.path(folder / "checkpoints", steps[-1] if steps else 0)


def _json(file: Path) -> dict[str, Any]:
    """Read an object; nothing where there is none that is whole."""
    with suppress(OSError, ValueError):
        read = json.loads(file.read_bytes())
        return read if isinstance(read, dict) else {}
    return {}
