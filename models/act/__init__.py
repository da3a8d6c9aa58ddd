"""ACT, the actor of villa-X."""

from models.act.act import Act
from models.act.config import ActConfig, WristConfig

__all__ = ["Act", "ActConfig", "WristConfig"]
