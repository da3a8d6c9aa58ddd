"""Hands that no publisher tells of."""

from pipelines.curate.hands.hands import HandsConfig, run

__all__ = ["HandsConfig", "run"]
