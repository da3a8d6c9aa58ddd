"""The world model: which frames follow when latent actions happen, one after another."""

from typing import TYPE_CHECKING, Any

from models.world.config import WorldConfig

if TYPE_CHECKING:
    from models.world.world import World

__all__ = ["World", "WorldConfig"]


def __getattr__(name: str) -> Any:
    """Import the model once it is asked for: settings do without torch, whose import takes a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from models.world import world as module

    return getattr(module, name)
