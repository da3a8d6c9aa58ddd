"""Averaged weights: their values, and what belongs to them."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from pipelines.training.ema import Ema
from pipelines.training.sharding import Skeleton
from tests.support.toy import make_run


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trained, self.frozen = nn.Linear(5, 3), nn.Linear(3, 2)
        self.frozen.requires_grad_(False)
        self.register_buffer("seen", torch.zeros(()))


def move(model: Model, generator: torch.Generator) -> None:
    with torch.no_grad():
        for p in model.trained.parameters():
            p += torch.randn(p.shape, generator=generator)
        model.seen += 1


def test_averages_are_those_of_the_formula_to_the_last_bit() -> None:
    generator, model = torch.Generator().manual_seed(0), Model()
    ema = Ema(model, 0.9)
    by_hand = {name: p.detach().clone() for name, p in model.trained.named_parameters(prefix="trained")}
    for step in range(200):
        move(model, generator)
        ema.update(model, step)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, p in model.trained.named_parameters(prefix="trained"):
            by_hand[name].lerp_(p.detach(), 1 - decay)
    assert ema.weights().keys() == by_hand.keys()
    assert all(torch.equal(ema.weights()[name], value) for name, value in by_hand.items())


def test_a_model_has_the_averages_for_a_while_and_then_its_own_weights() -> None:
    model = Model()
    ema = Ema(model, 0.9)
    for step in range(3):
        move(model, torch.Generator().manual_seed(step))
        ema.update(model, step)
    own = {name: value.clone() for name, value in model.state_dict().items()}
    averages = {name: value.clone() for name, value in ema.weights().items()}
    with ema.applied(model):
        assert all(torch.equal(model.state_dict()[name], averages.get(name, value)) for name, value in own.items())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in own.items())
    assert all(torch.equal(ema.weights()[name], value) for name, value in averages.items())


def test_a_copy_with_averages_has_todays_buffers_and_frozen_weights() -> None:
    model = Model()
    ema, skeleton = Ema(model, 0.9), Skeleton(model)
    for step in range(3):
        move(model, torch.Generator().manual_seed(step))
        ema.update(model, step)
    averaged = skeleton.filled(model, ema.weights(), keep=True)
    assert isinstance(averaged, Model)
    assert averaged.seen == 3
    assert torch.equal(averaged.frozen.weight, model.frozen.weight)
    assert torch.equal(averaged.trained.weight, ema.weights()["trained.weight"])
    assert averaged.trained.weight.data_ptr() != ema.weights()["trained.weight"].data_ptr()
    assert [p.requires_grad for p in averaged.parameters()] == [p.requires_grad for p in model.parameters()]


def test_averages_that_were_saved_are_gone_on_with() -> None:
    model = Model()
    ema, resumed = Ema(model, 0.9), Ema(model, 0.9)
    for step in range(6):
        if step == 3:
            for name, value in resumed.weights().items():
                value.copy_(ema.weights()[name])
        move(model, torch.Generator().manual_seed(step))
        ema.update(model, step)
        if step >= 3:
            resumed.update(model, step)
    assert all(torch.equal(resumed.weights()[name], value) for name, value in ema.weights().items())


def test_a_run_averages_by_the_decay_of_each_of_its_steps(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=5, checkpoint_every=1, keep_last=5, ema_decay=0.999)
    by_hand = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run.train()
    for step in range(5):
        weights = load_file(tmp_path / "checkpoints" / f"step-{step + 1:08d}" / "model.safetensors")
        for name, average in by_hand.items():
            average.lerp_(weights[name], 1 - (1 + step) / (10 + step))
    for name, average in run.ema.weights().items():
        torch.testing.assert_close(average, by_hand[name])
