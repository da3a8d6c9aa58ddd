"""Each disputed choice of the actor does what it says, and its default is what was done before there was a choice."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models import flow
from models.act import Act
from models.act.config import ContextConfig
from models.act.masks import draw_visible_mask
from models.flow_config import FlowConfig
from tests.support.small_act import make_act, make_batch, same, terms

CPU = torch.device("cpu")


def draws(law: FlowConfig, num: int = 20_000) -> tuple[Tensor, Tensor]:
    return flow.sample_times(num, CPU, torch.Generator().manual_seed(0), law)


def test_shared_times_are_the_robots_for_both_streams() -> None:
    coupled, shared = draws(FlowConfig()), draws(FlowConfig(times="shared"))
    assert torch.equal(shared[0], shared[1])
    assert torch.equal(shared[1], coupled[1])
    assert not torch.equal(coupled[0], coupled[1])


def test_uniform_times_are_equally_likely_anywhere_below_their_latest() -> None:
    t_latent, t_robot = draws(FlowConfig(times="uniform", t_max=0.5))
    assert torch.equal(t_latent, t_robot)
    shares = torch.histc(t_robot, bins=5, min=0.0, max=0.5) / len(t_robot)
    torch.testing.assert_close(shares, torch.full((5,), 0.2), atol=0.01, rtol=0.0)


@pytest.mark.parametrize("times", ["coupled", "shared", "uniform"])
def test_no_time_is_later_than_the_latest(times: str) -> None:
    for drawn in draws(FlowConfig(times=times, t_max=0.7)):  # type: ignore[arg-type]
        assert 0.5 < float(drawn.max()) <= 0.7


@pytest.mark.parametrize("times", ["coupled", "shared", "uniform"])
def test_sampling_follows_the_clocks_of_training_and_reaches_the_data(times: str) -> None:
    law = FlowConfig(times=times, sigma_min=0.1)  # type: ignore[arg-type]
    t_latent, t_robot = flow.time_grid(4, CPU, law)
    assert torch.equal(t_latent, t_robot) == (times != "coupled")
    data, noise = torch.randn(5, 3), torch.randn(5, 3)
    torch.testing.assert_close(noise + flow.velocity(data, noise, law), data + 0.1 * noise)
    torch.testing.assert_close(flow.interpolate(data, noise, torch.ones(5), law), data + 0.1 * noise)


@pytest.mark.parametrize("change", [{"times": "shared"}, {"times": "uniform"}, {"sigma_min": 0.2}, {"t_max": 0.5}])
def test_the_law_of_the_flow_reaches_the_losses(change: dict) -> None:
    plain, changed = make_act(), make_act(flow=FlowConfig(**change))
    assert not same(terms(plain, make_batch()), terms(changed, make_batch()))


FIELD_OF = {
    "dataset": "dataset_id",
    "steps_per_latent": "steps_per_latent",
    "control_hz": "control_hz",
    "state": "state",
}


@pytest.mark.parametrize("token", FIELD_OF)
def test_a_context_token_that_is_off_leaves_neither_influence_nor_weights(token: str) -> None:
    with_it, without = make_act().eval(), make_act(context=ContextConfig(**{token: False})).eval()
    batch = make_batch()
    value = getattr(batch, FIELD_OF[token])
    other = replace(batch, **{FIELD_OF[token]: value * 0 + 1})
    assert not same(terms(with_it, batch), terms(with_it, other))
    assert same(terms(without, batch), terms(without, other))
    assert not [name for name, _ in without.named_parameters() if name.startswith(f"robot.context.{token}")]


def test_a_policy_may_be_told_nothing_at_all() -> None:
    off = ContextConfig(**dict.fromkeys(ContextConfig.model_fields, False))
    act = make_act(context=off, wrist=None)
    assert not list(act.robot.context.parameters())
    loss, _ = act.loss(make_batch(), torch.Generator().manual_seed(0))
    loss.backward()
    assert act.sample(make_batch())[1].shape == (4, 4, 4)


def test_whether_there_is_a_wrist_view_is_told_unless_it_is_off() -> None:
    without = make_act(context=ContextConfig(has_wrist=False), wrist=None)
    act = make_act(wrist=None)
    assert "robot.context.has_wrist.weight" in act.state_dict()
    assert "robot.context.has_wrist.weight" not in without.state_dict()


def robot_gradient(act: Act) -> Tensor:
    """Length of the gradient that the robot's loss alone sends into the latent expert's blocks."""
    act.zero_grad()
    batch = make_batch()
    act.loss(replace(batch, latent_mask=batch.latent_mask), torch.Generator().manual_seed(0))[0].backward()
    return torch.stack([p.grad.norm() for p in act.latent.stack.parameters() if p.grad is not None]).norm()


def test_the_robots_loss_reaches_the_latent_expert_only_where_it_is_not_detached() -> None:
    shown = {"latent_weight": 0.0, "latent_dropout": 0.0, "latent_keep_ratio": 1.0}
    assert float(robot_gradient(make_act(**shown))) == 0.0
    assert float(robot_gradient(make_act(detach_latent=False, **shown))) > 0.0


def test_whole_latent_actions_are_shown_or_hidden_together() -> None:
    generator = torch.Generator().manual_seed(0)
    visible = draw_visible_mask((2000, 24), 0.5, 0.5, CPU, generator, unit=4).unflatten(1, (6, 4))
    assert torch.equal(visible.any(-1), visible.all(-1))
    assert visible.any(-1).sum(-1).unique().tolist() == [0, 3]
    codes = draw_visible_mask((2000, 24), 0.5, 0.5, CPU, torch.Generator().manual_seed(0)).unflatten(1, (6, 4))
    assert not torch.equal(codes.any(-1), codes.all(-1))
    assert not same(terms(make_act(), make_batch()), terms(make_act(latent_mask_unit="latent"), make_batch()))


@pytest.mark.parametrize(
    ("setting", "prefix"),
    [
        ("freeze_token_embeddings", "vlm.embed."),
        ("freeze_vision", "vlm.vision."),
        ("freeze_last_values", "vlm.stack.blocks.1.v_proj."),
        ("freeze_vlm", "vlm."),
    ],
)
def test_what_is_frozen_has_no_gradient_and_all_else_has(setting: str, prefix: str) -> None:
    act = make_act(**{setting: True})
    act.loss(make_batch(), torch.Generator().manual_seed(0))[0].backward()
    with_gradient = {name for name, p in act.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in act.named_parameters() if not name.startswith(prefix)}


def test_weights_of_losses_scale_their_gradients() -> None:
    def gradients(**weights: float) -> list[Tensor]:
        act = make_act(**weights)
        act.loss(make_batch(), torch.Generator().manual_seed(0))[0].backward()
        return [act.robot.decoder.bodies[1].weight.grad, act.latent.decoder.weight.grad]

    plain, robot, latent = gradients(), gradients(robot_weight=3.0), gradients(latent_weight=2.0)
    torch.testing.assert_close(robot[0], 3 * plain[0])
    torch.testing.assert_close(robot[1], plain[1])
    torch.testing.assert_close(latent[0], plain[0])
    torch.testing.assert_close(latent[1], 2 * plain[1])
