"""Checks every episode, by rules over measured columns."""

from pipelines.curate.curate import CurateConfig, run

__all__ = ["CurateConfig", "run"]
