"""Training-time real-time chunking: what a robot will have executed is given, the rest of a chunk continues it."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from models import flow
from models.act import Act, executed
from models.act.caches import LatentCache
from models.act.executed import Held
from models.act.sampler import Sampler
from models.parts import Draws
from tests.support.small_act import config, make_act, make_batch, terms

DELAY = 2


def held_of(act: Act, delays: list[int]) -> Held:
    h, a = act.config.horizon, max(act.config.action_dims)
    action = torch.rand(len(delays), h, a, generator=torch.Generator().manual_seed(3)) - 0.5
    return Held(action, torch.arange(h)[None] < torch.tensor(delays)[:, None])


def executes(delay: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every row of training have executed so many steps."""
    monkeypatch.setattr(executed, "uniform", lambda shape, *_: torch.full(tuple(shape), (delay + 0.5) / (DELAY + 1)))


def test_nothing_is_drawn_without_it_and_a_row_that_executed_nothing_learns_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()
    assert executed.draw_mask(config(), 4, torch.device("cpu"), generator) is None
    assert torch.equal(generator.get_state(), before)
    executes(0, monkeypatch)
    plain, prepared = make_act().eval(), make_act(max_inference_delay=DELAY).eval()
    ours, theirs = (act.loss(make_batch(), torch.Generator().manual_seed(5))[0] for act in (prepared, plain))
    assert torch.equal(ours, theirs)


def test_what_was_executed_is_shown_as_it_is_and_the_loss_is_on_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    act, batch = make_act(max_inference_delay=DELAY).eval(), make_batch()
    executes(DELAY, monkeypatch)
    shown = []

    def still(x: Tensor, t: Tensor, *_: Any) -> Tensor:
        shown.append((x, t))
        return torch.zeros_like(x)

    monkeypatch.setattr(act.robot, "forward", still)
    robot = terms(act, batch)["robot"]
    ((x, t),) = shown
    assert torch.equal(x[:, :DELAY], batch.action[:, :DELAY])
    assert bool((t[:, :DELAY] == executed.CLEAN).all())
    free_t, sigma = t[:, DELAY:, None], act.config.flow.sigma_min
    assert bool((free_t == free_t[:, :1]).all())
    data = batch.action[:, DELAY:]
    noise = (x[:, DELAY:] - free_t * data) / (1 - (1 - sigma) * free_t)
    torch.testing.assert_close(robot, (data - (1 - sigma) * noise).square().mean(), rtol=1e-3, atol=1e-3)
    assert act.counts(batch)["robot"] == data.numel() * act.config.num_flow_samples


def test_the_rest_sees_what_was_executed_and_the_plan_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    act, batch = make_act(max_inference_delay=DELAY).eval(), make_batch()
    executes(DELAY, monkeypatch)
    moved = batch.action.clone()
    moved[:, 0] += 0.3
    before, after = terms(act, batch), terms(act, replace(batch, action=moved))
    assert before["robot"] != after["robot"]
    assert before["latent"] == after["latent"]


def test_delays_are_drawn_alike_for_the_loss_and_for_what_it_is_a_mean_over() -> None:
    """So parts of a batch train as the whole batch: the counts of all of them are known before the first loss."""
    act, batch = make_act(max_inference_delay=DELAY).eval(), make_batch()
    rows = len(batch.state)

    def draws() -> Draws:
        return Draws(torch.Generator().manual_seed(7), 0, rows, rows)

    counts = act.counts(batch, draws())
    assert counts["robot"] < batch.action_mask.sum() * act.config.num_flow_samples
    given = {name: count.double() for name, count in counts.items()}
    torch.testing.assert_close(act.loss(batch, draws(), given)[0], act.loss(batch, draws())[0])
    delays = executed.draw_mask(act.config, 600, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert delays is not None
    assert [int((delays.sum(1) == d).sum()) > 150 for d in range(DELAY + 1)] == [True] * 3


@pytest.mark.parametrize("changes", [{}, {"use_latent": False}, {"clean_plan": True}])
def test_a_chunk_begins_with_what_was_executed_to_the_last_bit(changes: dict) -> None:
    act, batch = make_act(max_inference_delay=DELAY, **changes).eval(), make_batch()
    held = held_of(act, [0, 1, 2, 2])
    plain = Sampler(act).sample(batch)
    latents, chunk = Sampler(act).sample(batch, held=held)
    assert torch.equal(chunk[held.mask], held.action[held.mask])
    assert torch.equal(latents, plain[0])  # the plan does not see actions
    torch.testing.assert_close(chunk[0], plain[1][0])  # nothing executed
    assert (chunk - plain[1])[1:, -1].abs().max() > 0  # the rest continues it


def test_sampling_is_stepping_through_the_experts_with_a_time_for_each_step() -> None:
    act, batch = make_act(max_inference_delay=DELAY).eval(), make_batch()
    c, held = act.config, held_of(act, [2, 0, 1, 2])
    valid, steps = torch.ones(4, c.num_latent_tokens, dtype=torch.bool), torch.ones(4, c.horizon, dtype=torch.bool)
    latent = torch.zeros(4, c.num_latent_tokens, c.latent_dim)
    action = held.put(torch.zeros_like(held.action))
    with torch.no_grad():
        prefix, context = act.encode_prefix(batch), act.robot.context(batch, batch.has_wrist)
        for (t, then), robot in zip(pairwise(flow.time_grid(4, latent.device)[0]), torch.arange(4) / 4, strict=True):
            velocity, kv_cache = act.latent(latent, t.expand(4), prefix, valid)
            latent = latent + velocity * (then - t)
            times = torch.where(held.mask, executed.CLEAN, robot)
            cache = LatentCache(kv_cache, valid)
            velocity = act.robot(action, times, prefix, context, cache, steps, batch.embodiment_id)
            action = held.put(action + velocity / 4)
    streams = Sampler(act).denoise(batch, torch.zeros_like(latent), torch.zeros_like(action), 4, held)
    torch.testing.assert_close(streams, (latent, action), atol=1e-5, rtol=1e-4)


def test_a_delay_of_a_whole_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="max_inference_delay is 4, which leaves nothing to learn of a chunk of 4"):
        config(max_inference_delay=4)
