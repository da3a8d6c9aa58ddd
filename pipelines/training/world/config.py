"""Settings of `villa train world`."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from models.config import ChangesTo
from models.world import WorldConfig
from pipelines.training.config import TrainConfig
from pipelines.training.settings import FORMER_NAMES


class TrainWorldConfig(TrainConfig):
    """What to train on, how large, how long. What is not given comes from the preset."""

    renamed = MappingProxyType({**FORMER_NAMES, "judge_steps": "eval_horizon"})
    kind = "train_world"
    model_settings = WorldConfig
    model_class = "models.world:World"

    data: str
    """Corpus, or folder of shards, with latent actions."""
    lam: Path | None = None
    """Directory of the model that wrote the latent actions: for level 0 and the cycle check. Training needs none."""
    level: Literal[0, 1] = 1
    """0 trains nothing and evaluates the decoder of `lam`, fed its own frames; 1 trains a model with context frames."""
    model: Annotated[dict[str, Any], ChangesTo(WorldConfig)] = Field(default_factory=dict)
    """Fields of the model's own settings to change, such as `model.rollout`."""
    latent: str | None = None
    """Name of the latent actions; may be left out where there are only one model's."""
    eval_horizon: int = Field(6, ge=1, le=4_096)
    """Steps of a rollout that is evaluated; shorter ones count as far as they go."""

    @classmethod
    def fitted(cls, changes: Any) -> dict[str, Any]:
        """Shape and size of the latent actions."""
        return {name: WorldConfig.model_fields[name].default for name in ("num_slots", "latent_dim", "latent_scale")}

    @classmethod
    def takes_model_from_elsewhere(cls, given: Mapping[str, Any]) -> bool:
        """Level 0 makes no model."""
        return given.get("level", 1) == 0
