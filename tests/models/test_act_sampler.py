"""Sampling gives what stepping through the experts gives, whatever it computes once, and costs what was promised."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import profile

from models import flow
from models.act import Act
from models.act.caches import LatentCache
from models.act.graphs import copied, tensors
from models.act.sampler import Sampler, cast
from models.batch import ActBatch
from models.layers.config import StackConfig
from models.vlm.config import VisionConfig, VlmConfig
from tests.support.small_act import make_act, make_batch

STEPS = 3


def stepped(act: Act, batch: ActBatch, latent: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Euler steps by calling both experts as training does."""
    b, prefix = len(latent), act.encode_prefix(batch)
    context = act.robot.context(batch, batch.has_wrist)
    valid, steps = torch.ones(latent.shape[:2], dtype=torch.bool), torch.ones(action.shape[:2], dtype=torch.bool)
    t_latent, t_robot = flow.time_grid(STEPS, latent.device)
    for i in range(STEPS):
        cache = None
        if act.latent is not None:
            v, kv_cache = act.latent(latent, t_latent[i].expand(b), prefix, valid)
            latent, cache = latent + v * (t_latent[i + 1] - t_latent[i]), LatentCache(kv_cache, valid)
        action = (
            action + act.robot(action, t_robot[i].expand(b), prefix, context, cache, steps, batch.embodiment_id) / STEPS
        )
    return latent, action


def noise(act: Act, b: int = 4) -> tuple[Tensor, Tensor]:
    g, c = torch.Generator().manual_seed(1), act.config
    tokens = c.num_latent_tokens if c.use_latent else 0
    return torch.randn(b, tokens, c.latent_dim, generator=g), torch.randn(b, c.horizon, max(c.action_dims), generator=g)


def stacks(**changes: Any) -> dict[str, Any]:
    """Streams with other blocks."""
    both = {"width": 16, "mlp_width": 32, "num_layers": 2, "num_heads": 4, "head_dim": 8, **changes}
    vision = VisionConfig(image_size=16, patch_size=8, width=16, mlp_width=32, num_layers=1, num_heads=2, stem="conv")
    return {
        "vlm": VlmConfig(vision=vision, text=StackConfig(**both), vocab_size=32, text_length=5),
        "expert": StackConfig(**both, rope_theta=100.0),
    }


def awake(act: Act) -> Act:
    """Give norms gains, which a fresh model has none of."""
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, p in act.named_parameters():
            if "norm" in name and p.dim() == 1:
                p.add_(0.3 * torch.randn(p.shape, generator=g))
    return act.eval()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_latent": False},
        {"wrist": None},
        {"horizon": 1},
        stacks(soft_cap=2.0),
        stacks(num_kv_heads=2),
        stacks(num_kv_heads=4, activation="silu", output_norms=True),
    ],
)
@pytest.mark.parametrize("ids", [[1, 1, 1, 1], [2, 2, 2, 2], [1, 2, 0, 1]])
@torch.no_grad()
def test_sampling_equals_stepping_through_the_experts(changes: dict[str, Any], ids: list[int]) -> None:
    act, batch = awake(make_act(**changes)), replace(make_batch(), embodiment_id=torch.tensor(ids))
    batch.token_mask[1, 3:] = False
    if changes.get("wrist", True) is None:
        batch = replace(batch, has_wrist=torch.zeros(4, dtype=torch.bool))
    latent, action = noise(act)
    streams, expected = act.denoise(batch, latent, action, STEPS), stepped(act, batch, latent, action)
    for ours, theirs in zip(streams, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=2e-5)
    missing = torch.tensor(ids) == 2
    assert torch.equal(streams[1][missing][..., 2:], action[missing][..., 2:])  # the narrow body's noise stays


@torch.no_grad()
def test_a_clean_plan_is_the_plan_and_the_robot_reads_it_at_every_step() -> None:
    act, batch = awake(make_act(clean_plan=True)), make_batch()
    latent, action = noise(act)
    plan, robot = act.denoise(batch, latent, action, STEPS)
    torch.testing.assert_close(plan, act.denoise(batch, latent, None, STEPS)[0])
    prefix, context = act.encode_prefix(batch), act.robot.context(batch, batch.has_wrist)
    valid, steps = torch.ones(plan.shape[:2], dtype=torch.bool), torch.ones(action.shape[:2], dtype=torch.bool)
    for i in range(STEPS):
        t = torch.full((4,), flow.VILLA_X.t_max * i / STEPS)
        latent = latent + act.latent(latent, t, prefix, valid)[0] * flow.VILLA_X.t_max / STEPS
    torch.testing.assert_close(plan, latent)
    cache = LatentCache(act.latent(latent, torch.full((4,), flow.VILLA_X.t_max), prefix, valid)[1], valid)
    for i in range(STEPS):
        t = torch.full((4,), i / STEPS)
        action = action + act.robot(action, t, prefix, context, cache, steps, batch.embodiment_id) / STEPS
    torch.testing.assert_close(robot, action)


@pytest.mark.parametrize(("setting", "hides_picture"), [("latent_dropout", False), ("prefix_dropout", True)])
@torch.no_grad()
def test_what_training_never_showed_the_robot_is_hidden_in_play(setting: str, hides_picture: bool) -> None:
    act, batch = awake(make_act(**{setting: 1.0})), make_batch()
    latent, action = noise(act)
    robot, planned_else = (act.denoise(batch, x, action, STEPS)[1] for x in (latent, latent + 1.0))
    assert torch.equal(robot, planned_else) == (not hides_picture)


@torch.no_grad()
def test_a_sampler_keeps_the_weights_that_it_was_made_with() -> None:
    act, batch = awake(make_act()), make_batch()
    sampler, before = Sampler(act), act.sample(batch)[1]
    for p in act.robot.stack.parameters():
        p.mul_(0.5)
    assert torch.equal(sampler.sample(batch)[1], before)
    assert not torch.equal(act.sample(batch)[1], before)


@torch.no_grad()
def test_bfloat16_weights_sample_nearly_the_same() -> None:
    act, batch = awake(make_act()), make_batch()
    plan, chunk = act.sample(batch)
    half_plan, half_chunk = Sampler(cast(act, torch.bfloat16)).sample(batch)
    assert act.vlm.embed.weight.dtype == torch.bfloat16
    assert half_chunk.dtype == torch.float32
    torch.testing.assert_close(half_plan, plan, atol=0.05, rtol=0.0)
    torch.testing.assert_close(half_chunk, chunk, atol=0.05, rtol=0.0)


def num_calls(act: Act, batch: ActBatch) -> int:
    sampler = Sampler(act)
    sampler.sample(batch)
    with profile() as profiled:
        sampler.sample(batch)
    return sum(event.count for event in profiled.key_averages() if event.key.startswith("aten::"))


def test_a_prediction_costs_the_same_calls_however_many_embodiments_the_model_has() -> None:
    few, many = (make_act(state_dims=(4,) * n, action_dims=(4,) * n).eval() for n in (3, 60))
    assert num_calls(few, make_batch()) == num_calls(many, make_batch())


def test_inputs_of_a_graph_are_found_and_copied_wherever_they_are_nested() -> None:
    batch = make_batch()
    tree = (batch, None, (batch.state, 3))
    copies = copied(tree)
    present = [value for value in vars(batch).values() if value is not None]
    assert len(tensors(copies)) == len(tensors(tree)) == len(present) + 1
    assert all(torch.equal(a, b) and a is not b for a, b in zip(tensors(copies), tensors(tree), strict=True))
    assert copies[2][1] == 3


def test_the_facts_that_decide_what_runs_stay_on_the_host() -> None:
    batch = replace(make_batch(), views=make_batch().wrist[:, None], has_views=torch.ones(4, 1, dtype=torch.bool))
    moved = {name: value for name, value in vars(batch.to("meta")).items() if value is not None}
    on_host = {name for name, value in moved.items() if value.device.type == "cpu"}
    assert on_host == {"has_wrist", "has_views", "embodiment_id"}


def test_an_impossible_body_is_refused_before_anything_runs() -> None:
    act, batch = make_act(), make_batch()
    with pytest.raises(ValueError, match="embodiment 9 is unknown, the model has 3"):
        Sampler(act).sample(replace(batch, embodiment_id=torch.tensor([1, 9, 1, 1])))
