"""Metrics in trackio, which keeps them in this machine (TRACKIO_DIR) and shows them with `trackio show`."""

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataengine.digest import hex_digest
from pipelines.training.loggers.logger import PROJECT, Pictures
from pipelines.training.loggers.tensorboard_events import tag


class TrackioRun:
    """One run, whose name follows from its folder: a call that goes on adds to it."""

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        import trackio

        self._trackio = trackio
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a banner
            self._run = trackio.init(
                project=os.environ.get("TRACKIO_PROJECT", PROJECT),
                name=f"{directory.name}-{hex_digest(str(directory.absolute()), 4)}",
                config=dict(settings),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def write(self, step: int, figures: Mapping[str, float], notes: Sequence[str], pictures: Pictures) -> None:
        """Log the figures under the names that TensorBoard shows, and pictures; notes stay in metrics.jsonl."""
        images = {tag(f"val_{name}"): self._trackio.Image(pixels) for name, pixels in pictures.items()}
        self._run.log({**{tag(name): value for name, value in figures.items()}, **images}, step=step)

    def close(self) -> None:
        """End the run."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._run.finish()
