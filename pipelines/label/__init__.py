"""Latent actions of a corpus, or of anybody's video."""

from pipelines.label.label import LabelConfig, run

__all__ = ["LabelConfig", "run"]
