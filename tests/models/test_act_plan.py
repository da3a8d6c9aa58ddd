"""What the robot expert reads of the plan, in training and in play."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.act import Act
from tests.support.small_act import make_act, make_batch, same, terms

ALL = {"latent_dropout": 0.0, "latent_keep_ratio": 1.0}


def actions(act: Act, *, other_plan: bool = False, other_picture: bool = False) -> Tensor:
    """Sample actions, perhaps with a latent expert that plans otherwise, or before another picture."""
    batch = make_batch()
    if other_picture:
        batch = replace(batch, image=255 - batch.image)
    if other_plan:
        assert act.latent is not None
        torch.nn.init.normal_(act.latent.encoder.linear_3.weight)
    act.eval()
    return act.sample(batch)[1]


def differ(a: Tensor, b: Tensor) -> bool:
    return not torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(("dropout", "reads"), [(0.5, True), (1.0, False)])
def test_a_plan_that_training_always_hid_is_hidden_in_play(dropout: float, reads: bool) -> None:
    act = make_act(latent_dropout=dropout)
    assert differ(actions(act), actions(act, other_plan=True)) is reads


@pytest.mark.parametrize(("dropout", "reads"), [(0.5, True), (1.0, False)])
def test_a_prefix_that_training_always_hid_reaches_the_robot_through_the_plan_alone(
    dropout: float, reads: bool
) -> None:
    act = make_act(prefix_dropout=dropout)
    assert differ(actions(act), actions(act, other_picture=True))
    assert act.latent is not None
    with torch.no_grad():  # a latent expert that says the same of every picture
        for weight in (*act.latent.stack.parameters(), *act.latent.decoder.parameters()):
            weight.zero_()
    assert differ(actions(act), actions(act, other_picture=True)) is reads


@pytest.mark.parametrize("clean", [False, True])
def test_with_its_own_plan_the_robot_expert_never_reads_true_latent_actions(clean: bool) -> None:
    act = make_act(own_plan_ratio=1.0, clean_plan=clean, **ALL)
    batch = make_batch()
    other = replace(batch, latent=batch.latent + 1.0)
    assert torch.equal(terms(act, batch)["robot"], terms(act, other)["robot"])
    assert differ(terms(act, batch)["latent"], terms(act, other)["latent"])
    assert differ(terms(make_act(**ALL), batch)["robot"], terms(make_act(**ALL), other)["robot"])


def test_the_robot_expert_reads_a_clean_plan_without_noise() -> None:
    act = make_act(clean_plan=True, **ALL)
    assert act.latent is not None
    seen: list[Tensor] = []
    act.latent.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = make_batch()
    terms(act, batch)
    assert differ(seen[0], batch.latent.flatten(1, 2))
    assert torch.allclose(seen[1], batch.latent.flatten(1, 2))


@pytest.mark.parametrize("way", [{"own_plan_ratio": 0.5}, {"clean_plan": True}, {"prefix_dropout": 0.5}])
def test_the_robots_loss_never_trains_the_latent_expert(way: dict[str, float | bool]) -> None:
    act = make_act(latent_weight=0.0, **way)
    act.loss(make_batch(), torch.Generator().manual_seed(7))[0].backward()
    assert act.latent is not None
    assert all(p.grad is None or not p.grad.any() for p in act.latent.parameters())


def test_none_of_the_ways_is_taken_where_none_is_asked_for() -> None:
    assert same(terms(make_act(), make_batch()), terms(make_act(own_plan_ratio=0.0), make_batch()))
