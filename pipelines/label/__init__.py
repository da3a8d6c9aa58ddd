"""Latent actions of a corpus, or of anybody's video."""

from typing import TYPE_CHECKING, Any

from pipelines.label.config import LabelConfig

if TYPE_CHECKING:
    from pipelines.label.label import run

__all__ = ["LabelConfig", "run"]


def __getattr__(name: str) -> Any:
    """Import the act once it is asked for: settings do without torch, whose import takes a second."""
    if name != "run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipelines.label.label import run

    return run
