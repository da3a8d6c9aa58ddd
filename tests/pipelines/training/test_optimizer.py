"""Weight decay reaches the weights of linear maps and convolutions, and nothing else."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from dataengine.errors import DataEngineError
from models.act import Act
from models.lam import Lam
from models.world import World
from pipelines.training.act.config import TrainActConfig
from pipelines.training.optimizer import decays, make_optimizer, set_learning_rate
from pipelines.training.settings import LoopConfig
from tests.support.shapes import act_shape, lam_shape, world_shape
from tests.support.small_act import make_act, make_batch
from tests.support.toy import losses, make_run

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
    grouped = [names[id(p)] for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(name for name, p in model.named_parameters() if p.requires_grad)
    assert {names[id(p)] for p in groups[0]["params"]} == decays(model) - {"embed.weight"}


def learnt(**scales: float) -> dict[str, float]:
    """How far each part of a policy moves in one step."""
    config = TrainActConfig(data="d", out="o", lr=1e-3, weight_decay=0.0, lr_scales=scales)
    model = make_act()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make_optimizer(model, config, torch.device("cpu"), config.lr_scales.of)
    model.loss(make_batch(), torch.Generator().manual_seed(0))[0].backward()
    set_learning_rate(optimizer, config.lr)
    optimizer.step()
    moved = {name: float((p.detach() - before[name]).abs().max()) for name, p in model.named_parameters()}
    parts = {"vlm": "vlm.stack", "experts": "latent.stack", "heads": "robot.decoder.bodies.1"}
    return {part: max(far for name, far in moved.items() if name.startswith(start)) for part, start in parts.items()}


@pytest.mark.parametrize("part", ["vlm", "experts", "heads"])
def test_a_part_learns_as_fast_as_it_is_told(part: str) -> None:
    plain, slow, still = learnt(), learnt(**{part: 0.1}), learnt(**{part: 0.0})
    assert still.pop(part) == 0.0
    assert slow.pop(part) == pytest.approx(0.1 * plain.pop(part), rel=1e-3)
    assert plain == slow == still


def test_without_factors_the_groups_are_those_of_before() -> None:
    model, config = make_act(), TrainActConfig(data="d", out="o")
    plain = make_optimizer(model, config, torch.device("cpu"))
    scaled = make_optimizer(model, config, torch.device("cpu"), config.lr_scales.of)
    assert [g["params"] for g in plain.state_dict()["param_groups"]] == [
        g["params"] for g in scaled.state_dict()["param_groups"]
    ]
    assert len(plain.param_groups) == 2


def test_eight_bits_without_their_library_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(DataEngineError, match=r"optimizer=adamw_8bit needs bitsandbytes.*pip install bitsandbytes"):
        make_optimizer(make_act(), LoopConfig(optimizer="adamw_8bit"), torch.device("cpu"))


class NestedAdamW(torch.optim.AdamW):
    """Keeps its state one level deeper, as bitsandbytes does."""

    def state_dict(self) -> dict:
        state = super().state_dict()
        nested = {i: {"step": int(s["step"]), "quant": dict(s)} for i, s in state["state"].items()}
        return {**state, "state": nested}

    def load_state_dict(self, state_dict: dict) -> None:
        super().load_state_dict({**state_dict, "state": {i: s["quant"] for i, s in state_dict["state"].items()}})


def test_nested_state_of_an_optimizer_survives_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", types.ModuleType("bitsandbytes"))
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", types.SimpleNamespace(AdamW8bit=NestedAdamW))
    for name, steps in (("whole", 8), ("stopped", 4), ("stopped", 8)):
        run = make_run(tmp_path / name, optimizer="adamw_8bit", steps=steps, schedule="constant")
        assert isinstance(run.optimizer, NestedAdamW)
        run.train()
    assert losses(tmp_path / "whole") == losses(tmp_path / "stopped")
