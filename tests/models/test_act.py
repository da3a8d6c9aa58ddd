"""The actor as a whole: what may change its losses, what each loss may change, and what sampling promises."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models import weights
from models.act import Act
from models.act.masks import draw_visible_mask
from models.layers.config import StackConfig
from tests.support.shapes import act_shape
from tests.support.small_act import OTHER, ROBOT, config, human, make_act, make_batch, same, terms


def part(mask: Tensor) -> Tensor:
    """The mask with its last entries off."""
    mask = mask.clone()
    mask[:, -1] = False
    return mask


@pytest.mark.parametrize(
    ("content", "mask"),
    [
        ("token_ids", "token_mask"),
        ("state", "state_mask"),
        ("latent", "latent_mask"),
        ("action", "action_mask"),
        ("wrist", "has_wrist"),
    ],
)
def test_what_is_masked_changes_no_loss(content: str, mask: str) -> None:
    act, batch = make_act().eval(), make_batch()
    masked = batch if mask == "has_wrist" else replace(batch, **{mask: part(getattr(batch, mask))})
    x = getattr(masked, content).clone()
    if mask == "has_wrist":
        x[1] = 255
    else:
        x[:, -1] = 9
    assert same(terms(act, masked), terms(act, replace(masked, **{content: x})))


@pytest.mark.parametrize("content", ["token_ids", "state", "latent", "action", "wrist", "image"])
def test_what_counts_changes_a_loss(content: str) -> None:
    act, batch = make_act().eval(), make_batch()
    other = getattr(batch, content).clone()
    other[0] = 3
    assert not same(terms(act, batch), terms(act, replace(batch, **{content: other})))


def test_steps_that_do_not_count_are_invisible_to_those_that_do() -> None:
    act, batch = make_act().eval(), make_batch()
    counts = part(torch.ones(4, 4, dtype=torch.bool))
    with torch.no_grad():
        prefix, context = act.encode_prefix(batch), act.robot.context(batch, batch.has_wrist)
        t = torch.full((4,), 0.5)
        long = act.robot(batch.action, t, prefix, context, None, counts, batch.embodiment_id)
        short = act.robot(batch.action[:, :3], t, prefix, context, None, counts[:, :3], batch.embodiment_id)
    torch.testing.assert_close(long[:, :3], short)


def test_human_clips_teach_the_plan_and_leave_the_robot_alone() -> None:
    act = make_act()
    loss, figures = act.loss(human(make_batch()), torch.Generator().manual_seed(0))
    loss.backward()
    assert float(figures["robot"]) == 0.0
    assert float(figures["latent"]) > 0.0
    for name, p in act.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
        if name.startswith("robot."):
            assert not p.grad.any(), name
    assert act.latent.decoder.weight.grad.any()
    assert act.vlm.vision.position.grad.any()


def test_a_human_clip_in_the_batch_leaves_the_robots_loss_as_it_is() -> None:
    act, batch = make_act().eval(), make_batch()
    lone = torch.tensor([True, True, True, False])
    mixed = replace(batch, action_mask=batch.action_mask & lone[:, None, None])
    doubled = replace(mixed, action=torch.where(lone[:, None, None], mixed.action, 100.0))
    assert same(terms(act, mixed), terms(act, doubled))


def test_the_robots_loss_teaches_pictures_and_words_but_never_the_plan() -> None:
    act, batch = make_act(latent_dropout=0.0, latent_weight=0.0), make_batch()
    act.loss(batch, torch.Generator().manual_seed(0))[0].backward()
    planned = [p.grad for p in act.latent.parameters()]
    assert all(g is None or not g.any() for g in planned)
    assert act.vlm.vision.position.grad.any()
    assert act.vlm.embed.weight.grad.any()


def test_bodies_share_all_but_their_own_heads() -> None:
    act, batch = make_act(), make_batch()
    batch = replace(batch, embodiment_id=torch.full((4,), OTHER))
    batch.action_mask[..., 2:] = False
    act.loss(batch, torch.Generator().manual_seed(0))[0].backward()
    for heads in (act.robot.encoder, act.robot.decoder, act.robot.context.state):
        taught = [any(p.grad.any() for p in body.parameters()) for body in heads.bodies]
        assert taught == [False, False, True]
    assert act.robot.stack.blocks[0].q_proj.weight.grad.any()


def test_a_mixed_batch_gives_each_sample_what_it_gets_alone() -> None:
    act, batch = make_act().eval(), make_batch()
    batch = replace(batch, embodiment_id=torch.tensor([ROBOT, OTHER, ROBOT, OTHER]))
    _, together = act.sample(batch)
    for i in range(4):
        one = replace(batch, **{name: value[i : i + 1] for name, value in vars(batch).items() if value is not None})
        torch.testing.assert_close(act.sample(one)[1][0], together[i], atol=1e-5, rtol=1e-5)
    assert not together[[1, 3], :, 2:].any()  # dimensions that the narrow body lacks


def test_a_body_that_the_model_does_not_know_is_refused() -> None:
    batch = make_batch()
    with pytest.raises(ValueError, match="embodiment 5 is unknown, the model has 3"):
        make_act().sample(replace(batch, embodiment_id=torch.tensor([1, 5, 1, 1])))


def test_a_batch_without_wrist_views_leaves_the_trunk_untouched_but_in_the_graph() -> None:
    act, batch = make_act(), make_batch()
    trunk = act.robot.context.wrist.trunk
    before = trunk.bn1.running_mean.clone()
    act.loss(replace(batch, has_wrist=torch.zeros(4, dtype=torch.bool)))[0].backward()
    assert torch.equal(trunk.bn1.running_mean, before)
    assert trunk.conv1.weight.grad is not None
    assert not trunk.conv1.weight.grad.any()


def test_training_drops_wrist_views_at_the_rate_that_was_set() -> None:
    act, everyone = make_act(), torch.ones(4000, dtype=torch.bool)
    kept = act._drop_wrist(everyone, torch.Generator().manual_seed(0), everyone.device).float().mean()
    assert float(kept) == pytest.approx(0.5, abs=0.03)
    assert not make_act(wrist=None)._drop_wrist(everyone, None, everyone.device).any()


def test_training_hides_the_plan_from_half_the_samples_and_half_its_tokens_from_the_rest() -> None:
    visible = draw_visible_mask((4000, 24), 0.5, 0.5, torch.device("cpu"), torch.Generator().manual_seed(0))
    per_sample = visible.sum(1)
    assert set(per_sample.tolist()) == {0, 12}
    assert float((per_sample == 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert visible.float().mean(0).std() < 0.02  # no token is favoured


def test_the_picture_is_read_once_for_all_draws_and_all_euler_steps() -> None:
    act, batch = make_act(num_flow_samples=3), make_batch()
    calls: list[int] = []
    act.vlm.register_forward_hook(lambda *_: calls.append(1))
    act.loss(batch, torch.Generator().manual_seed(0))
    act.eval().sample(batch)
    assert len(calls) == 2


def test_sampling_from_zero_noise_repeats_and_from_drawn_noise_follows_its_generator() -> None:
    act, batch = make_act().eval(), make_batch()
    (plan, chunk), (plan_again, chunk_again) = act.sample(batch), act.sample(batch)
    assert torch.equal(plan, plan_again)
    assert torch.equal(chunk, chunk_again)
    assert plan.shape == (4, 2, 2, 3)
    assert chunk.shape == (4, 4, 4)
    assert chunk.abs().max() <= 1.0
    drawn = [act.sample(batch, torch.Generator().manual_seed(s), noise="normal")[1] for s in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_plan_needs_no_body() -> None:
    act, batch = make_act().eval(), make_batch()
    plan = act.plan(batch)
    torch.testing.assert_close(plan, act.sample(batch)[0])
    other = replace(batch, state=batch.state + 1, control_hz=batch.control_hz * 2, wrist=batch.wrist // 2)
    assert torch.equal(plan, act.plan(other))


def test_the_latent_scale_is_divided_out_of_the_targets_and_multiplied_into_the_plan() -> None:
    plain, scaled, batch = make_act().eval(), make_act(latent_scale=4.0).eval(), make_batch()
    assert same(terms(plain, batch), terms(scaled, replace(batch, latent=batch.latent * 4)))
    torch.testing.assert_close(scaled.plan(batch), plain.plan(batch) * 4)


def test_without_the_latent_expert_there_is_no_plan() -> None:
    act, batch = make_act(use_latent=False), make_batch()
    assert set(terms(act, batch)) == {"robot"}
    assert not any(name.startswith("latent.") for name, _ in act.named_parameters())
    plan, chunk = act.eval().sample(batch)
    assert plan.shape == (4, 0, 2, 3)
    assert chunk.shape == (4, 4, 4)


def test_frozen_words_are_not_trained() -> None:
    act = make_act(freeze_token_embeddings=True)
    act.loss(make_batch(), torch.Generator().manual_seed(0))[0].backward()
    assert act.vlm.embed.weight.grad is None


def test_a_small_actor_learns_one_batch_by_heart() -> None:
    act, batch = make_act(wrist=None, num_flow_samples=4), make_batch(2)
    batch = replace(batch, action=batch.action.clamp(-1, 1))
    optimizer = torch.optim.AdamW(act.parameters(), lr=5e-3)
    g = torch.Generator().manual_seed(0)
    for _ in range(250):
        optimizer.zero_grad()
        act.loss(batch, g)[0].backward()
        optimizer.step()
    plan, chunk = act.eval().sample(batch)
    assert (chunk - batch.action).abs().mean() < 0.12
    assert (plan - batch.latent).abs().mean() < 0.2


def test_a_saved_actor_comes_back_whole(tmp_path: Path) -> None:
    act, batch = make_act().eval(), make_batch()
    weights.save_model(act, tmp_path, {"note": "kept"})
    again = weights.load_act(tmp_path)
    assert again.config == act.config
    assert torch.equal(again.sample(batch)[1], act.sample(batch)[1])


FORMER = {
    "num_flow_samples": "flow_draws",
    "freeze_token_embeddings": "freeze_words",
    "latent_dropout": "latent_hidden",
    "latent_keep_ratio": "latent_shown",
    "view_dropout": "drop",
    "num_kv_heads": "num_key_heads",
    "scale_embeddings": "scaled_entry",
    "rope_theta": "theta",
}
"""Settings by their names in version 0.1."""


def as_formerly(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    return {FORMER.get(key, key): as_formerly(value) for key, value in settings.items()}


def test_an_actor_of_an_older_version_is_read_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    act, batch = make_act(num_flow_samples=3, latent_keep_ratio=0.25).eval(), make_batch()
    weights.save_model(act, tmp_path)
    file = tmp_path / "model_config.json"
    stated = json.loads(file.read_text())
    older = {**stated, "config": as_formerly(stated["config"])}
    assert sum(file.read_text().count(f'"{name}"') for name in FORMER) == 11
    file.write_text(json.dumps(older))
    assert not any(f'"{name}"' in file.read_text() for name in FORMER)
    again = weights.load_act(tmp_path)
    assert again.config == act.config
    assert torch.equal(again.sample(batch)[1], act.sample(batch)[1])
    assert capsys.readouterr().err == ""


def test_the_paper_preset_has_the_published_sizes() -> None:
    with torch.device("meta"):
        act = Act(act_shape("paper", state_dims=(7,), action_dims=(7,)))

    def millions(module: torch.nn.Module) -> float:
        return sum(p.numel() for p in module.parameters()) / 1e6

    assert millions(act.vlm.vision) == pytest.approx(412.4, abs=0.1)
    assert millions(act.vlm.embed) == pytest.approx(526.8, abs=0.1)
    assert millions(act.latent.stack) == pytest.approx(311.5, abs=0.1)
    assert millions(act.robot.stack) == pytest.approx(311.5, abs=0.1)
    assert act.config.num_latent_tokens == 24


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state_dims": (4, 4)}, "2 state_dims but 3 action_dims"),
        ({"state_dims": (4, 0, 3)}, "at least 1 state"),
        (
            {"expert": StackConfig(width=16, mlp_width=32, num_layers=3, num_heads=2, head_dim=8)},
            "share num_layers; the text has 2, the expert 3",
        ),
    ],
)
def test_an_impossible_shape_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)
