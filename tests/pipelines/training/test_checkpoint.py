"""How a checkpoint is written and read: beside the training, whole or not at all, no more than what is needed."""

import errno
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open

from dataengine.errors import DataEngineError
from pipelines.training import checkpoint
from pipelines.training.checkpoint import reading, writing
from pipelines.training.checkpoint.reading import Stored
from pipelines.training.checkpoint.snapshot import Snapshot
from pipelines.training.checkpoint.writing import Background, Writing
from pipelines.training.sharding import Rows, chunk_rows
from tests.support import forked
from tests.support.toy import losses, make_run, val_losses


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    went_on, save_file = threading.Event(), writing.save_file

    def late(tensors: dict, path: Path) -> None:
        assert went_on.wait(60), "training waits for the disk"
        save_file(tensors, path)

    monkeypatch.setattr(writing, "save_file", late)
    run = make_run(tmp_path / "async")
    run.model.at_step = lambda step: went_on.set() if step == 5 else None
    run.train()
    make_run(tmp_path / "waiting", async_checkpoint=False).train()
    assert losses(tmp_path / "async") == losses(tmp_path / "waiting")
    for name in ("model", "ema", "optimizer"):
        one, other = (
            (tmp_path / out / f"checkpoints/step-00000008/{name}.safetensors").read_bytes()
            for out in ("async", "waiting")
        )
        assert one == other, name


def test_nothing_in_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    make_run(tmp_path).train()
    names = {path.name for path in (tmp_path / "checkpoints" / "step-00000012").iterdir()}
    assert {Path(name).suffix for name in names} == {".json", ".safetensors"}


def die_while_writing(out: str) -> None:
    save_file = writing.save_file

    def killed(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save_file(tensors, path)
        if "00000008" in str(path) and path.name.startswith("optimizer"):
            path.write_bytes(path.read_bytes()[:100])
            os.kill(os.getpid(), signal.SIGKILL)

    writing.save_file = killed
    make_run(Path(out)).train()


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    (ended,) = forked.run(die_while_writing, tmp_path / "run", check=False)
    assert ended.returncode == -signal.SIGKILL
    assert {p.name for p in (tmp_path / "run/checkpoints").iterdir()} == {"step-00000004", ".unfinished-00000008"}
    run = make_run(tmp_path / "run")
    assert run.step == 4
    run.train()
    make_run(tmp_path / "whole").train()
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert {p.name for p in (tmp_path / "run/checkpoints").iterdir()} == {"step-00000008", "step-00000012"}


def test_a_disk_that_fills_up_ends_the_run_and_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file = writing.save_file

    def full(tensors: dict, path: Path) -> None:
        if "00000008" in str(path):
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        save_file(tensors, path)

    monkeypatch.setattr(writing, "save_file", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        make_run(tmp_path / "run").train()
    assert caught.value.errno == errno.ENOSPC
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [4]
    monkeypatch.undo()
    make_run(tmp_path / "run").train()
    make_run(tmp_path / "whole").train()
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_the_best_checkpoint_outlives_newer_ones(tmp_path: Path) -> None:
    run = make_run(tmp_path, validates=True, val_every=3, keep_best=True, keep_last=1, checkpoint_every=5)
    evaluate = run.validation.run
    rigged = iter([0.5, 0.1, 0.3, 0.4])

    def rig(model: Any, *more: Any) -> Any:
        look = evaluate(model, *more)
        return look._replace(figures={**look.figures, "loss": next(rigged)})

    run.validation.run = rig
    run.train()
    assert [loss for _, loss, _ in val_losses(tmp_path)] == [0.5, 0.1, 0.3, 0.4]
    assert checkpoint.steps(tmp_path / "checkpoints") == [6, 12]
    assert make_run(tmp_path).step == 12


def test_a_damaged_checkpoint_costs_none_of_those_after_the_one_before(tmp_path: Path) -> None:
    make_run(tmp_path, keep_last=2, checkpoint_every=6).train()
    assert checkpoint.steps(tmp_path / "checkpoints") == [6, 12]
    os.truncate(checkpoint.path(tmp_path / "checkpoints", 12) / "model.safetensors", 100)
    make_run(tmp_path, keep_last=1, checkpoint_every=1, max_minutes=1e-9).train()
    assert make_run(tmp_path).step == 7


def write_shards(directory: Path, tensors: dict[str, torch.Tensor], num_shards: int) -> Path:
    """Write a checkpoint as so many ranks would."""
    shapes = {"model": {name: list(value.shape) for name, value in tensors.items()}}
    directory.mkdir()
    background = [Background() for _ in range(num_shards)]
    for rank, one in enumerate(background):
        held = {n: v[slice(*chunk_rows(len(v), rank, num_shards))].clone() for n, v in tensors.items()}
        rng = {"rng": {"torch": torch.zeros(1)}}
        snapshot = Snapshot({"model": held, **rng}, shapes, {})
        state = {"identity": {}}
        one.start(Writing(directory, 3, snapshot, rank, num_shards, state, {"architecture": "Toy"}, {}, 2, None))
    for one in background:
        one.wait(lambda flag: flag)
    return checkpoint.path(directory, 3)


@pytest.mark.parametrize("num_shards", [2, 3, 5])
@pytest.mark.parametrize("num_readers", [1, 2, 4, 7])
def test_ranks_read_their_own_rows_and_nothing_else(
    num_shards: int, num_readers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"a": torch.randn(23, 5), "b": torch.randn(4), "c": torch.randn(6, 2, 3)}
    folder = write_shards(tmp_path / "checkpoints", tensors, num_shards)
    sharded = checkpoint.read_state(folder)["sharded"]
    num_bytes = []

    class Counted:
        def __init__(self, stored: Any) -> None:
            self.stored = stored

        def get_shape(self) -> list[int]:
            return self.stored.get_shape()

        def __getitem__(self, index: Any) -> torch.Tensor:
            value = self.stored[index]
            num_bytes.append(value.nbytes)
            return value

    class Opened:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.file = safe_open(*args, **kwargs)

        def __enter__(self) -> "Opened":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def keys(self) -> Any:
            return self.file.keys()

        def get_slice(self, name: str) -> Counted:
            return Counted(self.file.get_slice(name))

    monkeypatch.setattr(reading, "safe_open", Opened)
    for reader in range(num_readers):
        num_bytes.clear()
        with Stored(folder, "model", sharded) as stored:
            share = {n: chunk_rows(len(v), reader, num_readers) for n, v in tensors.items()}
            for name, value in tensors.items():
                assert torch.equal(stored.read(name, share[name]), value[slice(*share[name])])
        own = sum((share[n].stop - share[n].start) * v[0].nbytes for n, v in tensors.items())
        row = sum(v[0].nbytes for v in tensors.values())
        assert own <= sum(num_bytes) <= own + row  # of a tensor without rows one is read, for its type
    with Stored(folder, "model", sharded) as stored:
        assert stored.names() == set(tensors)
        assert torch.equal(stored.read("a", Rows(0, 23)), tensors["a"])
        assert torch.equal(stored.read("c"), tensors["c"])


def test_a_shard_of_another_size_is_damage(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "checkpoints", {"a": torch.randn(8, 2)}, 2)
    sharded = checkpoint.read_state(folder)["sharded"]
    writing.save_file({"a": torch.randn(3, 2)}, folder / "model-00002-of-00002.safetensors")
    with (
        Stored(folder, "model", sharded) as stored,
        pytest.raises(ValueError, match=r"a has shape \[3, 2\] in shard 2"),
    ):
        stored.read("a")
    with pytest.raises(checkpoint.DamagedCheckpointError, match=r"model-00002-of-00002\.safetensors has changed"):
        checkpoint.read_state(folder)


def test_a_rank_that_cannot_write_ends_the_writing_of_the_first(tmp_path: Path) -> None:
    snapshot = Snapshot({"model": {}, "rng": {"torch": torch.zeros(1)}}, {}, {})
    first, flags = Background(), []
    (tmp_path / "checkpoints").mkdir()
    first.start(Writing(tmp_path / "checkpoints", 3, snapshot, 0, 2, {"identity": {}}, {}, {}, 2, None))
    with pytest.raises(DataEngineError, match="another process could not write its part of a checkpoint"):
        first.wait(lambda flag: flags.append(flag) or True)
    assert flags == [False, False]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [".unfinished-00000003"]
