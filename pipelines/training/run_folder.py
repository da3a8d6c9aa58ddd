"""The folder of a training run: whose it is, what lies in it, and that one trainer alone works in it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from models.weights import CONFIG_NAME, WEIGHTS_NAME, read_config
from pipelines.output.folder import Before, claimed, sources_at
from pipelines.training import checkpoint

FILES = (
    "checkpoints/",
    "tensorboard/",
    "wandb/",
    "metrics.jsonl",
    "bad_steps.jsonl",
    "hangs/",
    CONFIG_NAME,
    WEIGHTS_NAME,
    "report.json",
)
"""What every trainer writes."""


@contextlib.contextmanager
def run_folder(out: Path, model: str, data: str, *others: str) -> Iterator[None]:
    """Have a folder for a run, new or left by an earlier call; the main process holds it for all ranks.

    It lies outside of the recordings that `data`, a corpus or shards, was read from.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    names = (*FILES, *others)
    before = Before("|".join(names), lambda path: _has_checkpoints(path, model), beside=True)
    command = model if model == "finetune" else f"train {model}"
    with claimed(out, command, before=before, sources=sources_at(data)) as folder:
        folder.claim(*names)
        yield


def _has_checkpoints(out: Path, model: str) -> bool:
    """Know a run by its checkpoints; whether it has the same settings is asked when they are loaded."""
    for step in checkpoint.steps(out / "checkpoints"):
        with contextlib.suppress(ValueError):
            if read_config(checkpoint.path(out / "checkpoints", step)).get("architecture") == model.title():
                return True
    return False
