"""`villa export checkpoint`: a model from a training that goes on, which every command reads."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cli.app import app
from cli.contract import invoke
from models.weights import load_lam
from pipelines import stats
from tests.support.corpora import make_corpus, robot_episode
from tests.support.toy import make_run

TINY = ("--steps", "4", "--batch-size", "2", "--val-windows", "4", "--device", "cpu", "--val-batches", "1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training with averaged weights."""
    folder = tmp_path_factory.mktemp("export")
    make_corpus(str(folder / "corpus"), {"a": [robot_episode(f"r{i}") for i in range(12)]})
    stats.run(stats.StatsConfig(corpus=str(folder / "corpus")))
    more = ("--ema-decay", "0.9", "--checkpoint-every", "2")
    assert invoke(app, ["train", "lam", str(folder / "corpus"), "--out", str(folder / "run"), *TINY, *more]) == 0
    return folder / "run"


def export(run: Path, out: Path, *more: str) -> int:
    return invoke(app, ["export", "checkpoint", str(run), "--out", str(out), *more])


def test_the_newest_checkpoint_of_a_finished_run_is_what_the_run_exported(run: Path, tmp_path: Path) -> None:
    assert export(run, tmp_path / "model") == 0
    assert (tmp_path / "model/model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    ours, theirs = (json.loads((folder / "model_config.json").read_text()) for folder in (tmp_path / "model", run))
    assert ours == theirs
    load_lam(tmp_path / "model")


def test_an_earlier_step_and_the_weights_of_that_step_may_be_asked_for(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert export(run, tmp_path / "own", "--step", "2", "--set", "averaged=false", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["step"], report["averaged"], report["shards"]) == (2, False, 1)
    assert 0 < (tmp_path / "own/model.safetensors").stat().st_size - report["bytes"] < 50_000
    own = load_file(run / "checkpoints/step-00000002/model.safetensors")
    exported = load_file(tmp_path / "own/model.safetensors")
    assert all(torch.equal(own[name], value) for name, value in exported.items())
    folder = run / "checkpoints/step-00000002"
    assert export(folder, tmp_path / "averaged") == 0
    averaged = load_file(folder / "ema.safetensors")
    exported = load_file(tmp_path / "averaged/model.safetensors")
    assert all(torch.equal(exported[name], value) for name, value in averaged.items())


@pytest.mark.parametrize(
    ("more", "message"),
    [(("--step", "3"), "no checkpoint of step 3; there are 2, 4"), ((), "no checkpoint there, expected the folder of")],
)
def test_a_checkpoint_that_is_not_there_is_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, more: tuple[str, ...], message: str
) -> None:
    assert export(run if more else tmp_path, tmp_path / "model", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_damaged_checkpoint_is_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_run(tmp_path / "run", steps=4).train()
    weights = tmp_path / "run/checkpoints/step-00000004/ema.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert export(tmp_path / "run", tmp_path / "model", "--step", "4") == 2
    assert "step-00000004: damaged (ema.safetensors has changed)" in capsys.readouterr().err
