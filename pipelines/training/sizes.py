"""What a preset amounts to: every setting it trains with, and how large its model is."""

import importlib
from typing import Any

from pydantic import BaseModel

from models.config import merged
from pipelines.training import presets
from pipelines.training.config import TrainConfig


def resolved(config: type[TrainConfig], name: str) -> dict[str, Any]:
    """Give every setting of a training that a preset alone decides, its whole model among them."""
    defaults = {key: info.get_default(call_default_factory=True) for key, info in config.model_fields.items()}
    plain = {
        key: value.model_dump(mode="json") if isinstance(value, BaseModel) else value for key, value in defaults.items()
    }
    said = {key: value for key, value in presets.load(config.kind, name).items() if key != "model"}
    return merged(plain, said) | {"model": model_shape(config, name).model_dump(mode="json")}


def model_shape(config: type[TrainConfig], name: str) -> Any:
    """Make the settings of a preset's model, with stand-ins for what the data decide."""
    return config.model_settings.model_validate(merged(config.fitted({}), presets.model(config.kind, name)))


def num_parameters(config: type[TrainConfig], name: str) -> int:
    """Count the parameters of a preset's model; none of them is stored."""
    import torch

    module, _, class_name = config.model_class.partition(":")
    with torch.device("meta"):
        model = getattr(importlib.import_module(module), class_name)(model_shape(config, name))
    return sum(p.numel() for p in model.parameters())
