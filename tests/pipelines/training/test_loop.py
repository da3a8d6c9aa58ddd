import errno
import json
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from dataengine.errors import DataEngineError, OtherSettingsError
from dataengine.formats.tfrecord import records
from pipelines.training import checkpoint
from pipelines.training.checkpoint import writing
from pipelines.training.distributed import Distributed
from pipelines.training.settings import FORMER_NAMES, LoopConfig, learning_rate
from pipelines.training.trainer import Trainer
from tests.support import forked, toy
from tests.support.toy import Toy, losses, make_run, val_losses, weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    run = make_run(out)
    assert run.train().finished
    run.export(out / "model")
    return out


def interrupt(number: int):
    return lambda step: os.kill(os.getpid(), number) if step == 6 else None


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return losses(one) == losses(other) and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_an_interrupted_run_continues_to_the_same_losses(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture, number: int, raised: type[BaseException]
) -> None:
    run = make_run(tmp_path)
    run.model.at_step = interrupt(number)
    with pytest.raises(raised):
        run.train()
    assert "stopped after step 7 of 12, saved; the same command continues" in capsys.readouterr().err
    torch.rand(99)  # whatever else the process draws must not matter
    run = make_run(tmp_path)
    assert run.step == 7
    assert run.train().finished
    run.export(tmp_path / "model")
    assert same(whole, tmp_path)


def test_a_killed_run_continues_to_the_same_losses(whole: Path, tmp_path: Path) -> None:
    (killed,) = forked.run(toy.main, tmp_path, 10, check=False)
    assert killed.returncode == -signal.SIGKILL
    # It had gone on after its checkpoint of step 8.
    assert [line[0] for line in losses(tmp_path)] == list(range(1, 11))
    forked.run(toy.main, tmp_path, -1)
    assert same(whole, tmp_path)
    assert [step for step, *_ in val_losses(tmp_path)] == [3, 6, 9, 12]


def test_a_finished_run_has_nothing_left_to_do(whole: Path) -> None:
    run = make_run(whole)
    before = losses(whole)
    result = run.train()
    assert result.finished
    assert result.figures["loss"] == before[-1][1]
    assert losses(whole) == before


def test_a_half_written_checkpoint_is_no_checkpoint(whole: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.train()
    (tmp_path / "checkpoints" / "step-00000012" / "state.json").unlink()
    (tmp_path / "checkpoints" / ".unfinished-00000011").mkdir()
    run = make_run(tmp_path)
    assert run.step == 8
    run.train()
    assert losses(tmp_path) == losses(whole)
    assert not list((tmp_path / "checkpoints").glob(".unfinished*"))


@pytest.mark.parametrize(
    "name",
    [
        "state.json",
        "model.safetensors",
        "optimizer.safetensors",
        "ema.safetensors",
        "rng.safetensors",
        "model_config.json",
    ],
)
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, damage: str
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "checkpoints" / "step-00000012"
    data = bytearray((newest / name).read_bytes())
    data[len(data) // 2] ^= 1
    (newest / name).write_bytes(data if damage == "flipped" else data[: len(data) // 2])
    if damage == "gone":
        (newest / name).unlink()
    run = make_run(tmp_path)
    assert run.step == 8
    if (name, damage) != ("state.json", "gone"):  # then it is no checkpoint
        said = capsys.readouterr().err
        assert f"{newest}: damaged (" in said
        assert said.count("\n") == 1
    run.train()
    assert losses(tmp_path) == losses(whole)
    assert make_run(tmp_path).step == 12


def test_without_a_whole_checkpoint_the_run_says_what_to_do(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.glob("checkpoints/*/optimizer.safetensors"):
        file.write_bytes(b"")
    with pytest.raises(DataEngineError, match=r"no checkpoint is whole \(steps 8, 12\); copy one .* or delete"):
        make_run(tmp_path)


def test_checkpoints_without_checksums_are_read(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.glob("checkpoints/*/state.json"):
        state = json.loads(file.read_text())
        del state["sha256"], state["checksum"]
        file.write_text(json.dumps(state))
    assert make_run(tmp_path).step == 12
    (tmp_path / "checkpoints/step-00000012/optimizer.safetensors").write_bytes(b"")
    assert make_run(tmp_path).step == 8


def test_a_file_of_the_user_in_a_checkpoint_outlives_it(tmp_path: Path) -> None:
    run = make_run(tmp_path, keep_last=1, max_minutes=1e-9)
    run.train()
    note = tmp_path / "checkpoints/step-00000001/note.txt"
    note.write_text("mine")
    make_run(tmp_path, keep_last=1).train()
    assert checkpoint.steps(tmp_path / "checkpoints") == [12]
    assert note.read_text() == "mine"


def test_a_full_disk_is_called_by_its_name_and_costs_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: dict, path: Path) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(writing, "save_file", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        make_run(tmp_path).train()
    assert caught.value.errno == errno.ENOSPC
    assert not checkpoint.steps(tmp_path / "checkpoints")
    monkeypatch.undo()
    make_run(tmp_path).train()
    assert losses(tmp_path) == losses(whole)


def test_only_the_newest_checkpoints_stay(whole: Path) -> None:
    assert checkpoint.steps(whole / "checkpoints") == [8, 12]


@pytest.mark.parametrize("log_every", [1, 5])
def test_time_runs_out_with_a_checkpoint(tmp_path: Path, log_every: int) -> None:
    make_run(tmp_path / "whole", log_every=log_every).train()
    calls = 0
    while not make_run(tmp_path / "parts", max_minutes=1e-9, log_every=log_every).train().finished:
        calls += 1
        assert checkpoint.steps(tmp_path / "parts" / "checkpoints")[-1] == calls
    assert calls == 11
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_other_settings_or_data_do_not_continue_a_run(whole: Path) -> None:
    with pytest.raises(OtherSettingsError, match=r"holds a run with other settings or data; give the same") as raised:
        make_run(whole, lr=2e-2)
    assert raised.value.details == ("lr: 0.01 -> 0.02",)


def steady(out: Path, **changes: object) -> Trainer:
    """A run that depends on nothing but its windows and its step's own noise."""
    torch.manual_seed(0)
    model = Toy(noise=0.1, dropout=0.0)
    model.at_step = lambda step: model.seen.zero_() and None
    return make_run(out, model, **changes)


@pytest.mark.parametrize(
    "changes", [{"grad_accumulation_steps": 2}, {"grad_accumulation_steps": 4}, {"checkpoint_activations": True}]
)
def test_a_run_goes_on_with_its_steps_computed_otherwise(
    tmp_path: Path, changes: dict, capsys: pytest.CaptureFixture
) -> None:
    steady(tmp_path / "whole").train()
    run = steady(tmp_path / "parts", max_minutes=1e-9)
    assert run.train().step == 1
    run = steady(tmp_path / "parts", **changes)
    assert run.step == 1
    run.train()
    (key, value) = next(iter(changes.items()))
    assert f"goes on from step 1 with {key} {type(value)(value > 1)} -> {value}" in capsys.readouterr().err
    whole, parts = (torch.tensor(losses(tmp_path / name))[:, 2] for name in ("whole", "parts"))
    assert len(parts) == 12
    torch.testing.assert_close(whole, parts, rtol=5e-3, atol=1e-5)


def test_a_finished_run_is_taken_further(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    steady(tmp_path / "long", steps=20, schedule="constant").train()
    steady(tmp_path / "more", steps=12, schedule="constant").train()
    steady(tmp_path / "more", steps=20, schedule="constant").train()
    # At a constant learning rate it is the run that had been asked for so many from the start.
    assert losses(tmp_path / "long") == losses(tmp_path / "more")
    assert "goes on from step 12 with steps 12 -> 20" in capsys.readouterr().err
    steady(tmp_path / "cosine", steps=12).train()
    steady(tmp_path / "cosine", steps=24, schedule="cosine").train()
    assert "its learning rate follows the new schedule from here on: 0.0055 instead of 0.001" in capsys.readouterr().err
    with pytest.raises(DataEngineError, match=r"a run of 24 steps that has taken 24, found steps 20; give as many or"):
        steady(tmp_path / "cosine", steps=20)


def test_a_run_of_an_older_trainer_is_not_mixed_with_this_one(tmp_path: Path) -> None:
    make_run(tmp_path, max_minutes=1e-9).train()
    path = tmp_path / "checkpoints" / "step-00000001" / "state.json"
    state = json.loads(path.read_text())
    del state["identity"]["trainer"], state["elastic"], state["checksum"]
    path.write_text(json.dumps(state))
    with pytest.raises(DataEngineError, match="another version of the trainer began"):
        make_run(tmp_path)


@dataclass(frozen=True)
class Beside(Distributed):
    """One of two distributed, told of the other."""

    leader: int = -1

    def any(self, flag: bool) -> bool:
        return flag

    def broadcast(self, number: int) -> int:
        return self.leader

    def broadcast_weights(self, model: torch.nn.Module) -> None:
        pass


def test_machines_agree_on_the_checkpoint_that_they_go_on_from(tmp_path: Path) -> None:
    make_run(tmp_path / "shared").train()
    cpu = torch.device("cpu")
    assert make_run(tmp_path / "shared", distributed=Beside(1, 1, cpu, leader=8)).step == 8
    # A machine of its own disk, where the leader found one; and the other way about.
    with pytest.raises(DataEngineError, match=r"goes on from step 8, another finds no such checkpoint; put --out on"):
        make_run(tmp_path / "alone", distributed=Beside(1, 1, cpu, leader=8))
    assert make_run(tmp_path / "shared", distributed=Beside(1, 1, cpu, leader=-1)).step == 0


def test_a_run_that_blows_up_says_so_and_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    run = make_run(tmp_path, log_every=100)

    def spoil(step: int) -> None:
        if step == 6:
            torch.nn.init.constant_(run.model.write.weight, float("nan"))

    run.model.at_step = spoil
    with pytest.raises(DataEngineError, match=r"loss is nan at step 7: rank 0 had .*.*checkpoint of step 4 is whole"):
        run.train()
    assert checkpoint.steps(tmp_path / "checkpoints") == [4]


def test_parts_of_a_batch_add_up_to_the_batch(tmp_path: Path) -> None:
    for parts in (1, 2, 4):
        torch.manual_seed(0)
        model = Toy(noise=0.1, dropout=0)
        model.at_step = lambda step, model=model: model.seen.zero_() and None
        make_run(tmp_path / str(parts), model, grad_accumulation_steps=parts).train()
    one, two, four = (torch.tensor(losses(tmp_path / str(parts))) for parts in (1, 2, 4))
    # `seen` counts parts, so only the plain error is comparable, up to the order of sums.
    torch.testing.assert_close(one[:, 2], two[:, 2], rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(one[:, 2], four[:, 2], rtol=5e-3, atol=1e-5)


def test_recomputing_blocks_changes_no_loss(whole: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, checkpoint_activations=True)
    run.train()
    run.export(tmp_path / "model")
    assert same(whole, tmp_path)


def test_the_average_of_the_weights_is_what_is_exported(whole: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.train()
    own = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.export(tmp_path / "model")
    exported = weights(tmp_path)
    assert not torch.equal(exported["write.weight"], own["write.weight"])
    torch.testing.assert_close(exported["write.weight"], own["write.weight"], atol=0.2, rtol=0)
    assert torch.equal(run.model.state_dict()["write.weight"], own["write.weight"])
    assert json.loads((tmp_path / "model" / "model_config.json").read_text())["why"] == "test"


def test_bfloat16_computes_while_weights_stay_float32(whole: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, bf16=True)
    run.train()
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    ours, theirs = losses(tmp_path)[-1][1], losses(whole)[-1][1]
    assert ours != theirs
    assert ours == pytest.approx(theirs, rel=0.1)


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = LoopConfig(steps=110, lr=1.0, warmup_steps=10, min_lr_ratio=0.1)
    assert [round(learning_rate(config, step), 6) for step in (0, 4, 9, 10, 60)] == [0.1, 0.5, 1.0, 1.0, 0.55]
    assert learning_rate(config, 109) == pytest.approx(0.1, abs=1e-3)
    flat = LoopConfig(steps=110, lr=1.0, schedule="constant")
    assert learning_rate(flat, 0) == learning_rate(flat, 109) == 1.0


def test_tensorboard_reads_the_same_figures(whole: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event

    (path, *_) = sorted((whole / "tensorboard").iterdir())
    events = [Event.FromString(raw) for _, raw in records(path)]
    assert events[0].file_version == "brain.Event:2"
    logged = [(e.step, v.simple_value) for e in events for v in e.summary.value if v.tag == "train/loss"]
    assert logged == [(step, pytest.approx(loss, rel=1e-6)) for step, loss, *_ in losses(whole)]


@pytest.mark.slow
def test_two_ranks_train_like_one(tmp_path: Path) -> None:
    for ranks, name in ((1, "one"), (2, "two")):
        forked.run(toy.without_noise, tmp_path / name, ranks=ranks)
    ours, theirs = (torch.tensor(losses(tmp_path / name)) for name in ("one", "two"))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    ours, theirs = (torch.tensor(val_losses(tmp_path / name)) for name in ("one", "two"))
    assert len(ours) == 4
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="torch.compile needs a C++ compiler")
def test_a_compiled_run_has_the_losses_of_a_plain_one(tmp_path: Path) -> None:
    runs = []
    for name, compiled in (("plain", False), ("compiled", True)):
        torch.manual_seed(0)
        # dropout draws other numbers when it is compiled
        make_run(tmp_path / name, Toy(noise=0.0, dropout=0.0), compile=compiled).train()
        runs.append(losses(tmp_path / name))
    assert runs[1] == [pytest.approx(line, rel=1e-4) for line in runs[0]]


def test_a_run_that_an_older_version_saved_is_continued(tmp_path: Path) -> None:
    make_run(tmp_path, max_minutes=1e-9).train()
    (saved,) = (tmp_path / "checkpoints").glob("step-*/state.json")
    state = json.loads(saved.read_text())
    former = {new: old for old, new in FORMER_NAMES.items()}
    state["elastic"] = {former.get(key, key): value for key, value in state["elastic"].items()}
    assert "accumulate" in state["elastic"]
    del state["checksum"]  # older ones have none
    saved.write_text(json.dumps(state))
    assert make_run(tmp_path).step == 1
