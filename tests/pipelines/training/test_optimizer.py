"""Weight decay reaches the weights of linear maps and convolutions, and nothing else."""

import re

import pytest
import torch
from torch import nn

from models.act import Act
from models.lam import Lam
from models.world import World
from pipelines.training.optimizer import decays, make_optimizer
from pipelines.training.settings import LoopConfig
from tests.support.shapes import act_shape, lam_shape, world_shape

ACT = {
    *("robot.context.dataset.weight", "robot.context.has_wrist.weight", "robot.context.wrist.resampler.queries"),
    *("vlm.embed.weight", "vlm.vision.position"),
}
LAM = {
    *("encoder.layers.N.scale_shift_table", "encoder.map_block.latents"),
    *("proprio.context.dataset.weight", "vq.embedding.weight"),
}


def made(name: str) -> nn.Module:
    with torch.device("meta"):
        if name == "act":
            return Act(act_shape("small", state_dims=(7, 7), action_dims=(7, 7)))
        return Lam(lam_shape("tiny")) if name == "lam" else World(world_shape("tiny"))


@pytest.mark.parametrize(("name", "spared"), [("act", ACT), ("lam", LAM), ("world", set())])
def test_tables_queries_positions_and_codebooks_do_not_decay(name: str, spared: set[str]) -> None:
    model = made(name)
    shapes = {key: p.ndim for key, p in model.named_parameters()}
    chosen = decays(model)
    assert chosen <= shapes.keys()
    assert all(shapes[key] >= 2 for key in chosen)
    left = {re.sub(r"\.\d+\.", ".N.", key) for key, ndim in shapes.items() if ndim >= 2 and key not in chosen}
    assert left == spared


def test_every_trained_weight_is_in_one_group() -> None:
    torch.manual_seed(0)
    model = World(world_shape("tiny"))
    model.embed.weight.requires_grad_(False)
    groups = make_optimizer(model, LoopConfig(weight_decay=0.3), torch.device("cpu")).param_groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    names = {id(p): name for name, p in model.named_parameters()}
    found = [names[id(p)] for group in groups for p in group["params"]]
    assert sorted(found) == sorted(name for name, p in model.named_parameters() if p.requires_grad)
    assert {names[id(p)] for p in groups[0]["params"]} == decays(model) - {"embed.weight"}
