"""A step in parts, on one rank or on two, has the gradients of the whole, however unevenly parts are filled."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.training.distributed import Distributed, process_group
from pipelines.training.settings import LoopConfig
from tests.support import forked
from tests.support.ranked import BATCH, RUNS, act_run, gradients, quantizer


def alone() -> Distributed:
    return Distributed(0, 1, torch.device("cpu"))


def compare(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    scale = max(float(value.abs().max()) for name, value in one.items() if not name.startswith("logged"))
    for name, value in one.items():
        torch.testing.assert_close(
            other[name], value, rtol=2e-3, atol=1e-5 * max(scale, 1.0), msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("kind", RUNS)
def test_a_step_in_parts_has_the_gradients_of_the_whole(kind: str, tmp_path: Path) -> None:
    whole = gradients(kind, tmp_path, alone(), 1)
    for parts in (2, 4, 8):
        compare(whole, gradients(kind, tmp_path, alone(), parts))


def test_a_codebook_starts_from_the_whole_batch(tmp_path: Path) -> None:
    whole = quantizer(tmp_path, alone(), 1)
    for parts in (2, 8):
        compare(whole, quantizer(tmp_path, alone(), parts))


def test_a_batch_of_human_clips_alone_has_no_robot_term(tmp_path: Path) -> None:
    """Parts of one clip: every second one is a human's, and its empty mean must weigh nothing."""
    masks: list[bool] = []
    config = LoopConfig(steps=1, batch_size=BATCH, grad_accumulation_steps=8, max_grad_norm=1e9, log_every=1)
    run = act_run(tmp_path, alone(), config)
    loss: Callable = run.model.loss
    run.model.loss = lambda batch, *more: (masks.append(bool(batch.action_mask.any())), loss(batch, *more))[1]
    run.train()
    assert 0 < sum(masks) < 8


def save_gradients(out: str) -> None:
    with process_group(torch.device("cpu")) as distributed:
        for kind in RUNS:
            seen = gradients(kind, Path(out), distributed, 2)
            if distributed.is_main_process:
                torch.save(seen, Path(out) / f"{kind}.pt")
        torch.save(quantizer(Path(out), distributed, 2), Path(out) / f"quantizer-{distributed.rank}.pt")


@pytest.mark.slow
def test_two_ranks_have_the_gradients_and_the_codebook_of_one(tmp_path: Path) -> None:
    forked.run(save_gradients, tmp_path, ranks=2)
    for kind in RUNS:
        two = torch.load(tmp_path / f"{kind}.pt", weights_only=True)
        compare(gradients(kind, tmp_path / "one", alone(), 1), {n.removeprefix("module."): v for n, v in two.items()})
    whole = quantizer(tmp_path / "one", alone(), 1)
    for rank in range(2):
        compare(whole, torch.load(tmp_path / f"quantizer-{rank}.pt", weights_only=True))
