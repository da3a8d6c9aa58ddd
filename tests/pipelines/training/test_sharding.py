"""A model whose weights are divided among processes trains as a whole one does."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from models.lam import Lam
from pipelines.training import export
from pipelines.training.blocks import blocks
from pipelines.training.sharding import Rows, chunk_rows, kept_whole
from tests.support.forked import run
from tests.support.ranked import RUNS, gradients
from tests.support.shapes import lam_shape
from tests.support.sharded import alone, count_breaks, save_gradients, steady, train
from tests.support.small_act import make_act
from tests.support.toy import losses, val_losses, weights

SHARDED = json.dumps({"sharding": "fsdp2"})


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
def test_a_block_of_the_actor_compiles_into_one_graph() -> None:
    (ended,) = run(count_breaks)
    breaks, graphs = ended.stdout.split()
    assert (int(breaks), int(graphs) <= 6) == (0, True)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="torch.compile needs a C++ compiler")
def test_a_sharded_run_is_compiled_too(whole: Path, tmp_path: Path) -> None:
    changes = {"sharding": "fsdp2", "compile": True, "checkpoint_activations": True}
    run(train, tmp_path, -1, json.dumps(changes))
    assert_same(whole, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 4])
def test_a_sharded_step_has_the_gradients_of_a_whole_one(world_size: int, tmp_path: Path) -> None:
    """Also recomputed and in two parts: of ACT, LAM with its codebook, and a world model that rolls out."""
    run(save_gradients, tmp_path, ranks=world_size)
    for kind in RUNS:
        sharded = torch.load(tmp_path / f"{kind}.pt", weights_only=True)
        whole = gradients(kind, tmp_path / "one", alone(), 1)
        assert whole.keys() == sharded.keys()
        for name, value in whole.items():
            torch.testing.assert_close(sharded[name], value, rtol=2e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    made = steady(out, alone())
    made.train()
    made.export(out / "model")
    return out


def assert_same(one: Path, other: Path, exactly: bool = False) -> None:
    """Compare losses, norms, losses on held-out windows, and the averaged weights that were exported."""
    tolerance = {"rtol": 0.0, "atol": 0.0} if exactly else {"rtol": 1e-4, "atol": 1e-5}
    for read in (losses, val_losses):
        torch.testing.assert_close(torch.tensor(read(other)), torch.tensor(read(one)), **tolerance)
    expected, actual = weights(one), weights(other)
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, **tolerance)


@pytest.mark.slow
def test_a_sharded_run_that_is_killed_goes_on_in_one_process_and_in_four(whole: Path, tmp_path: Path) -> None:
    run(train, tmp_path / "two", -1, SHARDED, ranks=2)
    assert_same(whole, tmp_path / "two")
    killed = run(train, tmp_path / "killed", 10, SHARDED, ranks=2, check=False)
    assert any(rank.returncode == -signal.SIGKILL for rank in killed)
    newest = tmp_path / "killed" / "checkpoints" / "step-00000008"
    files = {path.name for path in newest.iterdir()}
    assert {f"{kind}-0000{i}-of-00002.safetensors" for kind in ("model", "ema", "optimizer") for i in (1, 2)} < files
    for name in ("again", "one", "whole", "four"):
        shutil.copytree(tmp_path / "killed", tmp_path / name)
    run(train, tmp_path / "again", -1, SHARDED, ranks=2)
    assert_same(tmp_path / "two", tmp_path / "again", exactly=True)
    run(train, tmp_path / "one", -1, SHARDED)
    assert_same(whole, tmp_path / "one")
    (ended,) = run(train, tmp_path / "whole", -1)
    assert "goes on from step 8 with sharding fsdp2 -> none" in ended.stderr
    assert_same(whole, tmp_path / "whole")
    run(train, tmp_path / "four", -1, SHARDED, ranks=4)
    assert_same(whole, tmp_path / "four")
    report = export.run(export.ExportCheckpointConfig(run=tmp_path / "four", out=tmp_path / "exported"))
    assert (report.shards, report.averaged) == (4, True)
    exported = load_file(tmp_path / "exported" / "model.safetensors")
    assert all(torch.equal(exported[name], value) for name, value in weights(tmp_path / "four").items())


@pytest.mark.slow
def test_a_run_of_whole_weights_goes_on_sharded(whole: Path, tmp_path: Path) -> None:
    steady(tmp_path, alone(), max_minutes=1e-9).train()
    run(train, tmp_path, -1, SHARDED, ranks=2)
    assert_same(whole, tmp_path)
