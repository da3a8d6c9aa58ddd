"""Shards are read straight from an object store, through copies that are whole or not there."""

import math
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataengine import copies
from dataengine.errors import DataEngineError
from dataengine.shards.reader import ShardReader, is_shards
from dataengine.windows.mixture import WindowSampler
from dataengine.windows.window import WindowSpec
from tests.support import warm
from tests.support.collators import as_trained, assert_equal
from tests.support.flaky_store import Faults, flaky_store
from tests.support.object_store import as_s3
from tests.support.shards import made_reader, write

pytestmark = pytest.mark.slow
URI = "s3://out/runs/shards"
SPEC = WindowSpec(num_frames=2, interval_s=0.3, optional_slots=("wrist",), horizon=5, latent="lam", num_latents=2)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shards")
    write(directory, made_reader())
    return directory


@pytest.fixture
def faults(on_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    import boto3

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(copies, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(copies, "TRIES", 3)
    with flaky_store() as (address, going_wrong), as_s3(address):
        client = boto3.client("s3")
        client.create_bucket(Bucket="out")
        for file in on_disk.iterdir():
            client.put_object(Bucket="out", Key=f"runs/shards/{file.name}", Body=file.read_bytes())
        going_wrong.client = client
        yield going_wrong


def tars(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").rglob("shard-*.tar"))


def batches(reader: ShardReader) -> list[dict]:
    sampler = WindowSampler(reader.episodes, SPEC, batch_size=16, seed=3)
    return [as_trained(reader, SPEC, sampler.batch(step)) for step in range(4)]


def test_windows_from_a_store_are_those_from_a_disk(on_disk: Path, faults: Faults) -> None:
    assert is_shards(URI)
    stored = ShardReader(URI)
    assert stored.identity == ShardReader(on_disk).identity
    for far, near in zip(batches(stored), batches(ShardReader(on_disk)), strict=True):
        assert_equal(far, near)
    copied = faults.num_bytes
    batches(ShardReader(URI))
    assert faults.num_bytes - copied < 50_000  # the manifest and a list of names: each shard was copied once


def test_a_store_that_often_answers_503_costs_time_and_nothing_else(on_disk: Path, faults: Faults) -> None:
    faults.share_503 = 0.4
    for far, near in zip(batches(ShardReader(URI)), batches(ShardReader(on_disk)), strict=True):
        assert_equal(far, near)
    assert faults.num_failed > 0


def test_a_store_that_never_answers_is_one_line(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "TRIES", 1)  # each takes seconds: the client tries several times by itself
    faults.share_503 = 1.0
    with pytest.raises(DataEngineError, match=r"s3://out/runs/shards.*: could not be read in 1 tries") as raised:
        ShardReader(URI)
    assert "\n" not in str(raised.value)


def test_copies_stay_within_their_room(tmp_path: Path, faults: Faults, capsys: pytest.CaptureFixture[str]) -> None:
    whole = ShardReader(URI)
    room = 2 * max(entry.num_bytes for entry in whole._known.shards)
    reader = ShardReader(URI, copies_bytes=room)
    assert "so many wait for a whole shard; set copies_gb=1" in capsys.readouterr().err
    sampler = WindowSampler(whole.episodes, SPEC, batch_size=16, seed=3)
    assert_equal(*(as_trained(r, SPEC, sampler.batch(0)) for r in (reader, whole)))
    for shard in range(len(whole._known.shards)):
        ShardReader(URI, copies_bytes=room)._require({shard})
        assert 0 < sum(file.stat().st_size for file in tars(tmp_path)) <= room


def test_a_copy_that_goes_before_it_is_mapped_is_made_again(
    tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "OTHERS", math.inf)  # what is free is counted after each copy
    reader, gone = ShardReader(URI), []

    def makes_too_much_room(_copies: object, new: Path | None = None) -> None:
        if new is not None and new.suffix == ".tar" and not gone:
            gone.append(new)
            new.unlink()

    monkeypatch.setattr(copies.Copies, "_make_room", makes_too_much_room)
    reader._require({0})
    assert gone == tars(tmp_path)


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_shard_that_is_damaged_in_the_store_is_never_read(tmp_path: Path, faults: Faults, damage: str) -> None:
    key = "runs/shards/shard-000000.tar"
    data = bytearray(faults.client.get_object(Bucket="out", Key=key)["Body"].read())
    data[len(data) // 2] ^= 1
    faults.client.put_object(Bucket="out", Key=key, Body=bytes(data if damage == "flipped" else data[:-512]))
    with pytest.raises(DataEngineError, match=r"shard-000000.tar: .*(another checksum|its manifest says)"):
        batches(ShardReader(URI))
    assert "shard-000000.tar" not in [file.name for file in tars(tmp_path)]


READ = f"from dataengine.shards.reader import ShardReader; ShardReader({URI!r})._require({{0}})"


def test_killed_in_the_middle_of_a_copy_nothing_bad_is_left(on_disk: Path, tmp_path: Path, faults: Faults) -> None:
    smallest_tar = min(file.stat().st_size for file in on_disk.glob("*.tar"))
    ShardReader(URI)  # manifest and indexes are here
    faults.stall_after = smallest_tar // 2
    reading = warm.Program(READ)
    assert faults.stalled.wait(60)
    reading.kill()
    assert reading.ended().returncode == -signal.SIGKILL
    assert tars(tmp_path) == []
    faults.stall_after = None
    for far, near in zip(batches(ShardReader(URI)), batches(ShardReader(on_disk)), strict=True):
        assert_equal(far, near)


def copy_all(barrier) -> None:
    barrier.wait()
    reader = ShardReader(URI)
    reader._require(set(range(len(reader._known.shards))))


def test_ranks_of_a_node_copy_each_shard_once(on_disk: Path, faults: Faults) -> None:
    barrier, before = warm.WarmContext().Barrier(3), faults.num_bytes
    ranks = [warm.WarmProcess(target=copy_all, args=(barrier,)) for _ in range(3)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    assert [rank.exitcode for rank in ranks] == [0] * 3
    size = sum(file.stat().st_size for file in on_disk.iterdir() if file.suffix in (".tar", ".parquet"))
    assert faults.num_bytes - before < 1.5 * size
