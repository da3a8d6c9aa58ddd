"""Who else reads the metrics of a run, beside its `metrics.jsonl`."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError

LoggerName = Literal["tensorboard", "wandb", "trackio"]
Pictures = Mapping[str, NDArray[np.uint8]]
"""By name; (height, width, 3)."""
VAL = "val_"
"""What names of figures on held-out windows begin with."""
PROJECT = "villa"
"""Of runs at services that group them, where their own environment variable names no other."""


class Logger(Protocol):
    """Takes the entries of one run, in the order of their steps; a run that goes on may give some again."""

    def write(self, step: int, figures: Mapping[str, float], notes: Sequence[str], pictures: Pictures) -> None:
        """Append the figures of one step, what was said of them, and pictures."""
        ...

    def close(self) -> None:
        """End, with nothing lost."""
        ...


def require_loggers(names: Sequence[LoggerName]) -> None:
    """Raise DataEngineError where a library is missing, before anything is trained."""
    for name in names:
        if name != "tensorboard" and importlib.util.find_spec(name) is None:
            raise DataEngineError(f"loggers has {name}, which is not installed; pip install 'villa-engine[{name}]'")
