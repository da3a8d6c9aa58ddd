"""Loggers by their names; those of other libraries are imported when they are asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.training.loggers.logger import Logger, LoggerName


def open_logger(name: LoggerName, directory: Path, step: int, settings: Mapping[str, Any]) -> Logger:
    """Open a logger for a run's folder, which goes on after a step."""
    if name == "wandb":
        from pipelines.training.loggers.wandb_run import WandbRun

        return WandbRun(directory, settings)
    if name == "trackio":
        from pipelines.training.loggers.trackio_run import TrackioRun

        return TrackioRun(directory, settings)
    from pipelines.training.loggers.tensorboard_events import TensorBoard

    return TensorBoard(directory, step, settings)
