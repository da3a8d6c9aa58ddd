"""A model whose weights are divided among processes trains as a whole one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from models.lam import Lam
from pipelines.training.blocks import blocks
from pipelines.training.sharding import Rows, chunk_rows, kept_whole
from tests.support.ranked import RUNS, gradients
from tests.support.shapes import lam_shape
from tests.support.small_act import make_act

ROOT = Path(__file__).parents[3]


def test_rows_of_all_ranks_are_all_rows() -> None:
    assert [chunk_rows(7, rank, 3) for rank in range(3)] == [Rows(0, 3), Rows(3, 6), Rows(6, 7)]
    assert [chunk_rows(3, rank, 4) for rank in range(4)] == [Rows(0, 1), Rows(1, 2), Rows(2, 3), Rows(3, 3)]
    assert [chunk_rows(5, rank, 4) for rank in range(4)] == [Rows(0, 2), Rows(2, 4), Rows(4, 5), Rows(5, 5)]


def test_heads_that_a_batch_may_not_use_are_no_blocks() -> None:
    names = {type(block).__name__ for block in blocks(make_act())}
    assert names == {"GemmaBlock", "VisionBlock"}


def test_what_a_model_moves_itself_and_single_numbers_stay_whole() -> None:
    lam = Lam(lam_shape("tiny"))
    assert {id(p) for p in kept_whole(lam)} == {id(lam.vq.embedding.weight)}
    model = nn.Linear(2, 2)
    model.scale = nn.Parameter(torch.ones(()))
    assert [id(p) for p in kept_whole(model)] == [id(model.scale)]


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_a_sharded_step_has_the_gradients_of_a_whole_one(world_size: int, tmp_path: Path) -> None:
    """Also recomputed and in two parts: of ACT, LAM with its codebook, and a world model that rolls out."""
    command = [sys.executable, "-m", "tests.support.sharded", "gradients", str(tmp_path)]
    if world_size > 1:
        command[1:2] = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world_size}", "-m"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
    from tests.support.sharded import alone

    for kind in RUNS:
        sharded = torch.load(tmp_path / f"{kind}.pt", weights_only=True)
        whole = gradients(kind, tmp_path / "one", alone(), 1)
        assert whole.keys() == sharded.keys()
        for name, value in whole.items():
            torch.testing.assert_close(sharded[name], value, rtol=2e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
