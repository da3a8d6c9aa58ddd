"""How large the model of a preset is."""

import importlib

from pipelines.training.config import TrainConfig


def num_parameters(config: type[TrainConfig], name: str) -> int:
    """Count the parameters of a preset's model; none of them is stored."""
    import torch

    module, _, class_name = config.model_class.partition(":")
    with torch.device("meta"):
        model = getattr(importlib.import_module(module), class_name)(config.model_of_preset(name))
    return sum(p.numel() for p in model.parameters())
