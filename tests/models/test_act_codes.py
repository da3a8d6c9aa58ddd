"""Baselines that plan codes: what predicts what, what the robot expert reads, and when what learns."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.act import Act
from models.batch import ActBatch
from tests.support.small_act import make_act, make_batch

NUM_CODES = 5


def coded(b: int = 4) -> ActBatch:
    codes = torch.randint(0, NUM_CODES, (b, 2, 2), generator=torch.Generator().manual_seed(1))
    return replace(make_batch(b), codes=codes)


def planning(planner: str, **changes: Any) -> Act:
    return make_act(planner=planner, num_codes=NUM_CODES, **changes)


def loss(act: Act, batch: ActBatch) -> dict[str, Tensor]:
    return act.loss(batch, torch.Generator().manual_seed(7))[1]


def learns(act: Act, part: str) -> bool:
    act.zero_grad()
    act.loss(coded(), torch.Generator().manual_seed(7))[0].backward()
    return any(p.grad is not None and bool(p.grad.any()) for p in getattr(act, part).parameters())


def test_a_code_is_predicted_from_those_before_it_alone() -> None:
    act, batch = planning("autoregressive"), coded()
    assert act.planner is not None
    prefix, valid = act._encode(batch), torch.ones(4, 4, dtype=torch.bool)
    codes = batch.codes.flatten(1)
    logits, _ = act.planner(codes, prefix, valid)
    other = codes.clone()
    other[:, 2] = (other[:, 2] + 1) % NUM_CODES
    changed, _ = act.planner(other, prefix, valid)
    assert torch.equal(logits[:, :3], changed[:, :3])
    assert not torch.allclose(logits[:, 3], changed[:, 3])


def test_codes_that_do_not_exist_are_invisible() -> None:
    act, batch = planning("autoregressive"), coded()
    mask = batch.latent_mask.clone()
    mask[:, 1] = False
    batch = replace(batch, latent_mask=mask)
    codes = batch.codes.clone()
    codes[:, 1] = (codes[:, 1] + 1) % NUM_CODES
    one, other = loss(act, batch), loss(act, replace(batch, codes=codes))
    assert all(torch.equal(one[name], other[name]) for name in ("codes", "robot"))


@pytest.mark.parametrize(
    ("changes", "reads"),
    [
        ({"planner": "autoregressive"}, True),
        ({"planner": "autoregressive", "latent_dropout": 1.0}, False),
        ({"planner": "pretraining"}, False),
    ],
)
def test_the_robot_reads_what_is_planned(changes: dict[str, Any], reads: bool) -> None:
    act = planning(**changes)
    act.eval()
    assert act.planner is not None
    before = act.sample(make_batch())[1]
    with torch.no_grad():
        act.planner.head.bias += 100.0 * torch.nn.functional.one_hot(torch.tensor(3), NUM_CODES)
    assert torch.allclose(before, act.sample(make_batch())[1], atol=1e-6) is not reads


def test_what_is_pretrained_learns_codes_first_and_actions_then() -> None:
    act = planning("pretraining", pretraining_fraction=0.25)
    for step, codes, robot in ((0, True, False), (24, True, False), (25, False, True), (99, False, True)):
        act.begin_step(step, 100)
        assert (learns(act, "planner"), learns(act, "robot")) == (codes, robot)


def test_the_robots_loss_does_not_train_the_planner() -> None:
    act = planning("autoregressive", latent_weight=0.0, latent_dropout=0.0, latent_keep_ratio=1.0)
    assert learns(act, "robot")
    assert not learns(act, "planner")


def test_a_plan_of_codes_is_learnt() -> None:
    act, batch = planning("autoregressive"), coded()
    optimizer = torch.optim.Adam(act.parameters(), 3e-3)
    first = loss(act, batch)["codes"]
    for _ in range(40):
        optimizer.zero_grad()
        act.loss(batch, torch.Generator().manual_seed(7))[0].backward()
        optimizer.step()
    assert loss(act, batch)["codes"] < 0.7 * first


def test_ways_to_read_a_plan_of_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="ways to read a plan of planner flow"):
        planning("autoregressive", clean_plan=True)
