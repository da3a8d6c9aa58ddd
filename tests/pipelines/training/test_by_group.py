"""Held-out losses by dataset and embodiment: those of the group alone, whatever the parts and ranks of a batch."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.parts import by_row, mean_of
from pipelines.training import by_group
from pipelines.training.distributed import Distributed
from pipelines.training.parts import BatchParts
from pipelines.training.settings import LoopConfig
from tests.support.ranked import BATCH, RUNS

ALONE = Distributed(0, 1, torch.device("cpu"))


def look(kind: str, out: Path, distributed: Distributed = ALONE, parts: int = 1) -> dict[str, float]:
    """Look once at held-out windows with new weights."""
    config = LoopConfig(steps=1, batch_size=BATCH, grad_accumulation_steps=parts, lr=1e-3)
    run = RUNS[kind](out, ALONE, config, validates=True)
    run.validation.parts = BatchParts(config, distributed)
    run.validation.loader.rank, run.validation.loader.world_size = distributed.rank, distributed.world_size
    seen = run.validation.run(run.model)
    run.loader.close()
    run.validation.close()
    return seen.by_group


@dataclass(frozen=True)
class Peer(Distributed):
    """One of two ranks that run one after the other, and again, until each has what the other last sent."""

    sent: list[list[Tensor]] = field(default_factory=lambda: [[], []])

    def all_reduce_mean(self, values: Tensor) -> Tensor:
        mine, other = self.sent[self.rank], self.sent[1 - self.rank]
        mine.append(values.clone())
        return (values + other[len(mine) - 1]) / 2 if len(mine) <= len(other) else values


def two_ranks(kind: str, out: Path) -> dict[str, float]:
    sent: list[list[Tensor]] = [[], []]
    for turn in range(3):
        for rank in range(2):
            sent[rank].clear()
            seen = look(kind, out / f"{turn}{rank}", Peer(rank, 2, torch.device("cpu"), sent))
    return seen


@pytest.mark.parametrize("kind", ["lam", "act"])
def test_losses_of_groups_are_the_same_in_parts_and_on_ranks(kind: str, tmp_path: Path) -> None:
    whole = look(kind, tmp_path / "whole")
    assert {name.rpartition("/")[0] for name in whole} == {
        *("dataset/pantry", "dataset/kitchen", "embodiment/arm7_jaw", "embodiment/human_hand")
    }
    for other in (look(kind, tmp_path / "parts", parts=4), two_ranks(kind, tmp_path / "ranks")):
        assert other == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("kind", ["lam", "act"])
def test_a_group_has_the_loss_of_its_windows_alone(kind: str, tmp_path: Path) -> None:
    """Human clips have no robot term, and robots' masked steps have no weight."""
    run = RUNS[kind](tmp_path, ALONE, LoopConfig(steps=1, batch_size=BATCH), validates=True)
    validation, model = run.validation, run.model
    seen = validation.run(model).by_group
    for dataset in ("pantry", "kitchen"):
        mine = [w for n in range(2) for w in validation.loader.make_with_windows(n)[1] if w.episode.dataset == dataset]
        batch = validation.loader.collator.collate(mine)
        assert seen[f"dataset/{dataset}/windows"] == len(mine)
        if kind == "lam":  # without noise in validation
            with torch.no_grad():
                loss, figures = model.eval().loss(batch, None, None)
            assert seen[f"dataset/{dataset}/loss"] == pytest.approx(float(loss), rel=1e-5)
            for name in ("visual", "visual_over_copy", "vq"):
                assert seen[f"dataset/{dataset}/{name}"] == pytest.approx(float(figures[name]), rel=1e-5)
    robots = {"lam": {"state", "action", "proprio", "state_if_held"}, "act": {"robot"}}[kind]
    for name in robots:
        assert f"dataset/pantry/{name}" in seen
        assert f"dataset/kitchen/{name}" not in seen
    run.loader.close()
    validation.close()


def test_the_pool_of_all_groups_is_the_whole(tmp_path: Path) -> None:
    seen = look("act", tmp_path)
    for kind in by_group.KINDS:
        assert sum(v for name, v in seen.items() if name.startswith(kind) and name.endswith("/windows")) == 2 * BATCH


def test_rows_that_are_not_a_number_spoil_no_other_row() -> None:
    values = torch.tensor([[1.0, 3.0], [float("nan"), 1.0], [2.0, 0.0], [5.0, 5.0]])
    valid = torch.tensor([[True, True], [True, True], [True, False], [True, True]])
    with by_row(2) as rows:
        mean_of(values.where(valid, 0.0), valid, None, "robot")
    assert rows.sums["robot"][:, 1].tolist() == [12.0, 3.0]
    assert rows.sums["robot"][0, 0].isnan()


def test_a_run_writes_them_beside_the_total_which_alone_decides_what_is_best(tmp_path: Path) -> None:
    config = LoopConfig(steps=4, batch_size=BATCH, lr=1e-3, log_every=2, val_every=2, checkpoint_every=1, keep_last=1)
    run = RUNS["lam"](tmp_path, ALONE, config, validates=True)
    curve = run.train().curve
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    looks = [line for line in lines if "val_loss" in line]
    assert [line["step"] for line in looks] == [2, 4]
    assert all("val_dataset/pantry/loss" in line and "val_embodiment/human_hand/visual" in line for line in looks)
    assert curve.best["loss"] == min(line["val_loss"] for line in looks)
    assert not any("/" in name for name in curve.last["figures"])
    run.loader.close()


def test_names_come_apart_again() -> None:
    assert by_group.parsed(by_group.key("dataset", "openx/bridge", "loss")) == ("dataset", "openx/bridge", "loss")
    assert by_group.parsed("visual_over_copy") is None
