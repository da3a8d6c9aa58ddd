"""ACT, the actor of villa-X."""

from typing import TYPE_CHECKING, Any

from models.act.config import ActConfig, WristConfig

if TYPE_CHECKING:
    from models.act.act import Act

__all__ = ["Act", "ActConfig", "WristConfig"]


def __getattr__(name: str) -> Any:
    """Import the model once it is asked for: settings do without torch, whose import takes a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from models.act import act as module

    return getattr(module, name)
