"""Hands that no publisher tells of."""

from pipelines.hands.hands import HandsConfig, run

__all__ = ["HandsConfig", "run"]
