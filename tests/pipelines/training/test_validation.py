"""Held-out windows are looked at while training goes on, and training does not notice."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pipelines.training.distributed import Distributed
from pipelines.training.settings import LoopConfig
from pipelines.training.validation import Curve
from tests.support.ranked import RUNS
from tests.support.toy import Toy, losses, make_run, val_losses, weights


@pytest.fixture
def event_accumulator(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """TensorBoard's own reader; it does without tensorflow, which takes seconds to import."""
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(out: Path) -> EventAccumulator:
        events = EventAccumulator(str(out / "tensorboard"), size_guidance={"images": 0, "scalars": 0, "tensors": 0})
        return events.Reload()

    return read


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_run_that_looks_at_held_out_windows_trains_to_the_same_weights(tmp_path: Path, ema_decay: float) -> None:
    for name, validates in (("with", True), ("without", False)):
        run = make_run(tmp_path / name, validates=validates, ema_decay=ema_decay, val_every=2)
        run.train()
        run.export(tmp_path / name / "model")
    assert losses(tmp_path / "with") == losses(tmp_path / "without")
    one, other = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert all(torch.equal(one[name], value) for name, value in other.items())
    assert [step for step, *_ in val_losses(tmp_path / "with")] == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize("kind", RUNS)
def test_no_model_is_moved_by_being_looked_at(kind: str, tmp_path: Path) -> None:
    config = LoopConfig(steps=3, batch_size=8, log_every=1, val_every=1, lr=1e-3)
    trained = {}
    for validates in (True, False):
        run = RUNS[kind](tmp_path / str(validates), Distributed(0, 1, torch.device("cpu")), config, validates=validates)
        trained[validates] = (run.train(), {name: value.clone() for name, value in run.model.state_dict().items()})
        run.loader.close()
    (looked, moved), (plain, expected) = trained[True], trained[False]
    assert looked.figures == plain.figures
    assert all(torch.equal(moved[name], value) for name, value in expected.items())
    assert looked.curve.last["step"] == 3
    assert np.isfinite(looked.curve.last["loss"])
    assert plain.curve.last == {}


def test_the_same_weights_have_the_same_loss_each_time(tmp_path: Path) -> None:
    run = make_run(tmp_path, validates=True)
    first = run.validation.run(run.model).figures
    torch.rand(7)
    assert run.validation.run(run.model).figures == first
    run.train()
    assert run.validation.run(run.model)[0] != first


def test_what_is_looked_at_are_the_weights_that_are_exported(tmp_path: Path) -> None:
    run = make_run(tmp_path, validates=True, ema_decay=0.9)
    last = run.train().curve.last
    assert run.validation.run(run.export_model())[0]["loss"] == last["loss"]
    assert run.validation.run(run.model)[0]["loss"] != last["loss"]


def test_a_stopped_run_has_the_same_curve(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole", validates=True, val_every=3, log_every=4).train()
    for _ in range(12):
        parts = make_run(tmp_path / "parts", validates=True, val_every=3, log_every=4, max_minutes=1e-9).train()
    assert parts.finished
    assert val_losses(tmp_path / "parts") == val_losses(tmp_path / "whole")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert parts.curve == whole.curve
    assert make_run(tmp_path / "parts", validates=True).train().curve == whole.curve  # nothing left to do


@pytest.mark.parametrize(("val_every", "steps"), [(0, [12]), (5, [5, 10, 12]), (None, [10, 12])])
def test_when_it_looks(tmp_path: Path, val_every: int | None, steps: list[int]) -> None:
    make_run(tmp_path, validates=True, val_every=val_every).train()
    assert [step for step, *_ in val_losses(tmp_path)] == steps


def test_a_long_run_looks_twenty_times() -> None:
    assert LoopConfig(steps=30_000).validates_every == 1_500
    assert LoopConfig(steps=30).validates_every == 10


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_has_the_loss_of_the_whole(tmp_path: Path, parts: int) -> None:
    wrong = []
    for count in (1, parts):
        torch.manual_seed(0)
        run = make_run(tmp_path / str(count), Toy(), validates=True, grad_accumulation_steps=count)
        wrong.append(run.validation.run(run.model)[0]["wrong"])
    assert wrong[1] == pytest.approx(wrong[0], rel=1e-6)


def test_the_lowest_loss_is_remembered_from_where_losses_can_be_compared() -> None:
    curve = Curve(best_from=5)
    for step, loss in ((4, 0.1), (6, 0.9), (8, 0.7), (10, float("nan")), (12, 0.8)):
        curve.add(step, {"loss": loss, "part": 1.0})
    assert curve.best == {"step": 8, "loss": 0.7, "figures": {"part": 1.0}}
    assert curve.last["step"] == 12


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        (Curve(best_from=5, num_batches=4), ""),
        (Curve(best_from=5, num_batches=8), "no longer counts: losses are over 8 batches, were over 4"),
        (Curve(best_from=9, num_batches=4), "0.7000 at step 8, no longer counts: losses count from step 9 on"),
    ],
)
def test_a_lowest_loss_that_cannot_be_compared_is_forgotten_with_a_word(curve: Curve, said: str) -> None:
    before = Curve(best_from=5, num_batches=4)
    before.add(8, {"loss": 0.7})
    message = curve.load_state_dict(before.state_dict())
    assert (said in message, bool(message), bool(curve.best)) == (True, bool(said), not said)
    curve.add(12, {"loss": 0.9})
    assert curve.best["step"] == (12 if said else 8)


def test_a_run_that_goes_on_with_more_batches_of_validation_compares_only_those(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_run(tmp_path, validates=True, val_every=1, max_minutes=1e-9).train()
    run = make_run(tmp_path, validates=True, val_every=0)
    run.validation.num_batches += 1
    run.recorder.curve.num_batches += 1
    run.resume()
    assert "no longer counts" in capsys.readouterr().err
    assert run.recorder.curve.best == {}


def test_the_progress_line_has_no_figure_before_it_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataengine.progress.LOG_EVERY_S", 0.0)
    make_run(tmp_path, validates=True, log_every=4, val_every=6).train()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train toy: ")]
    assert len(lines) == 12
    assert "nan" not in "".join(lines)
    assert ["loss" in line for line in lines] == [step >= 4 for step in range(1, 13)]
    assert ["val" in line for line in lines] == [step >= 6 for step in range(1, 13)]


def test_the_progress_of_a_resumed_run_counts_all_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path, max_minutes=1e-9).train()
    monkeypatch.setattr("dataengine.progress.LOG_EVERY_S", 0.0)
    make_run(tmp_path).train()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train toy: ")]
    assert lines[0].startswith("train toy: 2/12 steps")
    assert lines[-1].startswith("train toy: 12/12 steps")


def test_tensorboard_has_groups_settings_and_pictures(tmp_path: Path, event_accumulator: Callable) -> None:
    make_run(tmp_path, validates=True, val_every=6).train()
    events = event_accumulator(tmp_path)
    assert set(events.Tags()["scalars"]) == {
        *("train/loss", "train/wrong", "train/seen", "optim/lr", "optim/grad_norm"),
        *("speed/steps_per_s", "speed/loader_wait_ms", "val/loss", "val/wrong", "val/seen"),
        *("speed/samples_per_s", "speed/data_wait", "speed/memory_gb"),
        *(f"optim/grad_norm_{part}" for part in ("blocks", "read", "write")),
    }
    assert [event.step for event in events.Images("val/first")] == [6, 12]
    assert b"val_every: 6" in events.Tensors("settings")[0].tensor_proto.string_val[0]


@pytest.mark.parametrize("kept_checkpoints", [["step-00000004"], []])
def test_tensorboard_has_every_point_once_after_a_kill(
    tmp_path: Path, event_accumulator: Callable, kept_checkpoints: list[str]
) -> None:
    """The killed process had gone on after its last checkpoint, or had none yet."""
    make_run(tmp_path, validates=True, val_every=3, steps=12).train()
    for checkpoint in (tmp_path / "checkpoints").iterdir():
        shutil.rmtree(checkpoint)
    if kept_checkpoints:
        shutil.rmtree(tmp_path)
        make_run(tmp_path, validates=True, val_every=3, steps=12, checkpoint_every=4, keep_last=3).train()
        for checkpoint in (tmp_path / "checkpoints").iterdir():
            if checkpoint.name not in kept_checkpoints:
                shutil.rmtree(checkpoint)
    run = make_run(tmp_path, validates=True, val_every=3, steps=12)
    assert run.step == (4 if kept_checkpoints else 0)
    run.train()
    events = event_accumulator(tmp_path)
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 13))
    assert [event.step for event in events.Scalars("val/loss")] == [3, 6, 9, 12]
    assert [event.step for event in events.Images("val/first")] == [3, 6, 9, 12]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
