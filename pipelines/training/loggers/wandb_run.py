"""Metrics at Weights & Biases; its own environment variables (WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY) apply."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataengine.digest import hex_digest
from pipelines.training.loggers.logger import PROJECT, Pictures
from pipelines.training.loggers.tensorboard_events import tag


class WandbRun:
    """One run, whose id follows from its folder: a call that goes on adds to it; steps that are there stay."""

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=hex_digest(str(directory.absolute()), 8),
            name=directory.name,
            dir=str(directory),
            config=dict(settings),
            resume="allow",
            settings=wandb.Settings(console="off", silent=True, disable_git=True, save_code=False),
        )

    def write(self, step: int, figures: Mapping[str, float], notes: Sequence[str], pictures: Pictures) -> None:
        """Log the figures under the names that TensorBoard shows; what was said becomes an alert."""
        images = {tag(f"val_{name}"): self._wandb.Image(pixels) for name, pixels in pictures.items()}
        self._run.log({**{tag(name): value for name, value in figures.items()}, **images}, step=step)
        for note in notes:
            self._run.alert(title=f"step {step}", text=note)

    def close(self) -> None:
        """End the run."""
        self._run.finish()
