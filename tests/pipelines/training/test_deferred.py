"""A model that is made without memory gets, weight by weight, the values that it would have had."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from models.act import Act
from models.lam import Lam
from models.world import World
from pipelines.training.deferred import ReadsWeightsError, make_without_memory
from pipelines.training.finetune.warm_start import load_matching
from tests.support.shapes import act_shape, lam_shape, world_shape

BEFORE = Act(act_shape("tiny", state_dims=[7, 5], action_dims=[7, 5], num_datasets=2)).state_dict()


def tuned_act() -> Act:
    """One more robot and dataset than the model that it begins from."""
    act = Act(act_shape("tiny", state_dims=[7, 5, 6], action_dims=[7, 5, 6], num_datasets=3))
    load_matching(act, BEFORE, anew={1})
    return act


MODELS: dict[str, Callable[[], nn.Module]] = {
    "lam": lambda: Lam(lam_shape("tiny")),
    "act": lambda: Act(act_shape("tiny", state_dims=[7, 5], action_dims=[7, 5], num_datasets=3)),
    "wrist": lambda: Act(act_shape("tiny", state_dims=[7], action_dims=[7], wrist={"widths": [8, 8, 8, 8]})),
    "lora": lambda: Act(act_shape("tiny", state_dims=[7], action_dims=[7], lora={"rank": 2})),
    "tuned act": tuned_act,
    "world": lambda: World(world_shape("tiny")),
}


@pytest.mark.parametrize("kind", MODELS)
def test_weights_are_those_of_a_model_that_is_made_at_once(kind: str) -> None:
    torch.manual_seed(3)
    whole = MODELS[kind]()
    after = torch.rand(4)
    torch.manual_seed(3)
    model, weights = make_without_memory(MODELS[kind])
    assert torch.equal(torch.rand(4), after)  # the generator went on as ever
    deferred = {name: p for name, p in model.named_parameters() if p.is_meta}
    assert sum(p.numel() for p in deferred.values()) > 0.95 * sum(p.numel() for p in model.parameters())
    for name, p in whole.named_parameters():
        assert torch.equal(weights.make(name) if name in deferred else model.get_parameter(name), p), name
    weights.fill(model, model, torch.device("cpu"))
    own, expected = model.state_dict(), whole.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[name], value) for name, value in expected.items())
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in whole.parameters()]


class Rewritten(nn.Module):
    """A weight that is written to piece by piece, as from a checkpoint with fewer rows, and one from a file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.copied = nn.Linear(3, 3)
        self.register_buffer("steps", torch.empty(4).fill_(2))
        with torch.no_grad():
            value = self.table.weight
            value[:2] = torch.arange(6.0).view(2, 3)
            value[2:].mul_(2).add_(1)
            with safe_open(file, "pt") as opened:
                self.copied.weight.copy_(opened.get_tensor("weight"))


def test_pieces_and_files_are_remembered(tmp_path: Path) -> None:
    file = tmp_path / "theirs.safetensors"
    save_file({"weight": torch.eye(3)}, file)
    torch.manual_seed(0)
    whole = Rewritten(file)
    torch.manual_seed(0)
    model, weights = make_without_memory(lambda: Rewritten(file))
    file.unlink()
    weights.fill(model, model, torch.device("cpu"))
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in model.state_dict().items())


class Reads(nn.Module):
    """Its second weight depends on the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Parameter(self.first.weight.detach() * 2)


class Rejects(nn.Module):
    """Torch draws some of its numbers again, which depends on those that it drew."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4, 4))
        nn.init.trunc_normal_(self.weight)


class Ties(nn.Module):
    """Its second weight begins as the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.load_state_dict(self.first.state_dict())


class Looks(nn.Module):
    """What it makes depends on a number."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        if self.first.weight[0, 0] > 0:
            self.second = nn.Linear(3, 3)


@pytest.mark.parametrize("model", [Reads, Rejects, Ties, Looks])
def test_a_model_that_reads_its_weights_while_it_is_made_says_so(model: type[nn.Module]) -> None:
    with pytest.raises(ReadsWeightsError, match="reads weights"):
        make_without_memory(model)
