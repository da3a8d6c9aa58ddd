"""Recipes side by side: each trained and evaluated over several seeds, and what differs from a reference."""

from typing import TYPE_CHECKING, Any

from pipelines.ablation.config import AblateConfig

if TYPE_CHECKING:
    from pipelines.ablation.ablate import run

__all__ = ["AblateConfig", "run"]


def __getattr__(name: str) -> Any:
    """Import the act once it is asked for: settings do without torch, whose import takes a second."""
    if name != "run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipelines.ablation.ablate import run

    return run
