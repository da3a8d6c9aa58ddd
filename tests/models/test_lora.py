"""Adapters change nothing at first, learn in place of what lies beside them, and merge into plain weights."""

from pathlib import Path

import pytest
import torch

from models.act import Act
from models.lora import LoraLinear
from models.lora_config import LoraConfig
from models.weights import load_act, save_model
from tests.support.small_act import make_act, make_batch, same, terms

ALL = ("vision", "projector", "language", "latent", "robot")


def adapted(**changes: object) -> Act:
    """A policy with the weights of `make_act()` and adapters that have learnt something."""
    act = make_act(lora=LoraConfig(**{"rank": 2, "alpha": 4.0, **changes}))  # type: ignore[arg-type]
    act.load_state_dict(make_act().state_dict(), strict=False)
    return act


def taught(act: Act) -> Act:
    torch.manual_seed(1)
    for module in act.modules():
        if isinstance(module, LoraLinear):
            torch.nn.init.normal_(module.lora_b, std=0.1)
    return act


def test_fresh_adapters_change_nothing() -> None:
    assert same(terms(adapted().eval(), make_batch()), terms(make_act().eval(), make_batch()))
    assert not same(terms(taught(adapted()).eval(), make_batch()), terms(make_act().eval(), make_batch()))


def test_adapters_learn_and_weights_beside_them_stay() -> None:
    act = adapted()
    before = {name: p.detach().clone() for name, p in act.named_parameters()}
    optimizer = torch.optim.SGD((p for p in act.parameters() if p.requires_grad), lr=0.1)
    for step in range(2):  # the first step moves B alone, as it is zero
        optimizer.zero_grad()
        act.loss(make_batch(), torch.Generator().manual_seed(step))[0].backward()
        optimizer.step()
    moved = {name for name, p in act.named_parameters() if not torch.equal(p, before[name])}
    of_bodies = ("robot.context.", "robot.encoder.", "robot.decoder.")
    assert all("lora_" in name or name.startswith(of_bodies) for name in moved)
    assert {name for name in before if name.endswith("lora_b")} - moved == set()
    assert "robot.decoder.bodies.1.weight" in moved


@pytest.mark.parametrize("target", ALL)
def test_a_target_has_adapters_and_others_have_none(target: str) -> None:
    starts = {"vision": "vlm.vision.", "projector": "vlm.projector.", "language": "vlm.stack."}
    start = starts.get(target, f"{target}.stack.")
    names = [name for name, _ in make_act(lora=LoraConfig(targets=(target,))).named_parameters() if "lora_" in name]  # type: ignore[arg-type]
    assert names
    assert all(name.startswith(start) for name in names)


def test_merged_weights_do_what_adapters_did_and_load_as_any_policy(tmp_path: Path) -> None:
    act = taught(adapted()).eval()
    plain = act.merged()
    assert plain.config == make_act().config
    assert plain.state_dict().keys() == make_act().state_dict().keys()
    for ours, theirs in zip(act.sample(make_batch()), plain.sample(make_batch()), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert same(terms(act, make_batch()), terms(plain, make_batch()))
    save_model(plain, tmp_path)
    assert torch.equal(load_act(tmp_path).sample(make_batch())[1], plain.sample(make_batch())[1])
    assert make_act().merged().config.lora is None


def test_a_checkpoint_with_adapters_comes_back_whole(tmp_path: Path) -> None:
    act = taught(adapted()).eval()
    save_model(act, tmp_path)
    assert torch.equal(load_act(tmp_path).sample(make_batch())[1], act.sample(make_batch())[1])
