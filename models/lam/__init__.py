"""The latent action model (LAM): what changes between two frames, as codes that robots and human hands share."""

from typing import TYPE_CHECKING, Any

from models.lam.config import LamConfig

if TYPE_CHECKING:
    from models.lam.lam import Lam, Latents

__all__ = ["Lam", "LamConfig", "Latents"]


def __getattr__(name: str) -> Any:
    """Import the model once it is asked for: settings do without torch, whose import takes a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from models.lam import lam as module

    return getattr(module, name)
