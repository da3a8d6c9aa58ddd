"""Models of the presets' sizes, some settings changed."""

from typing import Any

from models.act import ActConfig
from models.lam import LamConfig
from models.world import WorldConfig
from pipelines.training import presets


def lam_shape(preset: str, **changes: Any) -> LamConfig:
    return presets.shape(LamConfig, "train_lam", preset, **changes)


def act_shape(preset: str, **changes: Any) -> ActConfig:
    return presets.shape(ActConfig, "train_act", preset, **changes)


def world_shape(preset: str, **changes: Any) -> WorldConfig:
    return presets.shape(WorldConfig, "train_world", preset, **changes)
