"""Rollouts of a corpus that a simulator must repeat: those that say from which start they were recorded."""

from dataengine.errors import DataEngineError
from pipelines.evaluation.calibrate.rollout import Rollout
from pipelines.evaluation.simulators._base import Simulator


def read_demos(corpus: str, simulator: type[Simulator]) -> list[Rollout]:
    """Read them."""
    raise DataEngineError(f"{corpus}: no rollouts of {simulator.name}")
