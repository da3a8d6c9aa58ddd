"""A corpus in an object store is trained on through copies on this machine, which are whole or not there."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dataengine import copies
from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from pipelines import stats
from pipelines.training.data import open_reader
from tests.support.corpora import add_parts, make_corpus, robot_episode
from tests.support.flaky_store import Faults, flaky_store
from tests.support.object_store import as_s3

pytestmark = pytest.mark.slow
URI = "s3://data/corpus"
ROOM_GB = 1.0


def noisy(record: str) -> list[np.ndarray]:
    """Pictures so large that Lance keeps an episode's in a file beside the rows."""
    return list(np.random.default_rng([*record.encode()]).integers(0, 256, (30, 64, 64, 3), dtype=np.uint8))


def part(name: str) -> dict:
    return {name: [robot_episode(f"{name}{i}", pictures=noisy(f"{name}{i}")) for i in range(3)]}


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    corpus = make_corpus(tmp_path_factory.mktemp("copied") / "corpus", part("a") | part("b"))
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    assert list(Path(corpus.uri).rglob("*.blob"))
    return Corpus.open(corpus.uri)


@pytest.fixture
def faults(on_disk: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    import boto3

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(copies, "FIRST_WAIT_S", 0.01)
    with flaky_store() as (address, going_wrong), as_s3(address):
        client = going_wrong.client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        upload(client, on_disk)
        yield going_wrong


def upload(client, corpus: Corpus, key: str = "corpus") -> None:
    for file in Path(corpus.uri).rglob("*"):
        if file.is_file():
            client.put_object(Bucket="data", Key=f"{key}/{file.relative_to(corpus.uri)}", Body=file.read_bytes())


def all_of(reader: TableReader) -> list[tuple]:
    """Everything that a training reads."""
    rows = [e.row for e in reader.episodes]
    jpegs = reader.jpegs("primary", [(row, step) for step in (0, 29, 7) for row in rows])
    reader.fetch(rows)
    vectors = [(reader.state(row).tobytes(), reader.action(row).tobytes()) for row in rows]
    return [list(reader.episodes), [bytes(jpeg) for jpeg in jpegs], vectors, reader.identity.fingerprint]


def copied(tmp_path: Path, kind: str) -> list[Path]:
    return sorted((tmp_path / "cache").rglob(f"*.{kind}"))


def test_what_is_read_is_what_a_disk_gives_and_comes_once(on_disk: Corpus, tmp_path: Path, faults: Faults) -> None:
    expected = all_of(TableReader(on_disk))
    reader = open_reader(URI, copies_gb=ROOM_GB)
    assert not copied(tmp_path, "blob"), "frames wait until somebody wants them"
    assert all_of(reader) == expected
    assert (reader.uri, reader.identity.uri) == (URI, URI)
    assert len(copied(tmp_path, "blob")) == len(list(Path(on_disk.uri).rglob("*.blob")))
    before = faults.num_bytes
    again = open_reader(URI, copies_gb=ROOM_GB)
    opened = faults.num_bytes
    assert all_of(again) == expected
    assert faults.num_bytes == opened, "nothing comes from the store once all is here"
    assert opened - before < 200_000, "manifests, registries and statistics"


def test_a_store_that_often_answers_503_costs_time_and_nothing_else(on_disk: Corpus, faults: Faults) -> None:
    reader = open_reader(URI, copies_gb=ROOM_GB)
    faults.share_503 = 0.3
    assert all_of(reader) == all_of(TableReader(on_disk))


def test_without_room_each_frame_comes_from_the_store(
    on_disk: Corpus, tmp_path: Path, faults: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = open_reader(URI, copies_gb=1e-6)
    assert "room for copies of 1e-06 GB: each frame is read from the store" in capsys.readouterr().err
    assert all_of(reader) == all_of(TableReader(on_disk))
    assert not copied(tmp_path, "blob")
    assert all_of(open_reader(URI)) == all_of(reader), "nor where nobody trains"
    assert not copied(tmp_path, "lance")


def test_frames_that_made_room_come_again(on_disk: Corpus, tmp_path: Path, faults: Faults) -> None:
    reader = open_reader(URI, copies_gb=ROOM_GB)
    reader.jpegs("primary", [(0, 0)])
    for file in copied(tmp_path, "blob"):
        file.unlink()
    assert all_of(reader) == all_of(TableReader(on_disk))


def test_copies_that_were_cut_short_here_come_again(on_disk: Corpus, tmp_path: Path, faults: Faults) -> None:
    all_of(open_reader(URI, copies_gb=ROOM_GB))
    for kind in ("blob", "lance"):
        for file in copied(tmp_path, kind):
            os.truncate(file, 100)
    assert all_of(open_reader(URI, copies_gb=ROOM_GB)) == all_of(TableReader(on_disk))


def test_a_file_that_is_cut_short_in_the_store_is_never_read(on_disk: Corpus, tmp_path: Path, faults: Faults) -> None:
    reader = open_reader(URI, copies_gb=ROOM_GB)
    for file in Path(on_disk.uri).rglob("*.blob"):
        key = f"corpus/{file.relative_to(on_disk.uri)}"
        faults.client.put_object(Bucket="data", Key=key, Body=file.read_bytes()[:-5])
    with pytest.raises(DataEngineError, match=r"\.blob: could not be read in \d tries \(\d+ bytes, expected \d+\)"):
        all_of(reader)
    assert not copied(tmp_path, "blob")


def test_copies_of_a_state_that_nobody_reads_make_room(tmp_path: Path, faults: Faults) -> None:
    corpus = make_corpus(tmp_path / "first", part("a"))
    upload(faults.client, corpus, "grows")
    old = open_reader("s3://data/grows", copies_gb=ROOM_GB)
    old_folder = old.corpus.lance_table.uri
    add_parts(corpus, part("c"))
    upload(faults.client, corpus, "grows")
    new = open_reader("s3://data/grows", copies_gb=ROOM_GB)
    assert len(new.episodes) == 6
    tight = copies.Copies("s3://data/other", "state", 1)
    tight.make_room()
    assert all_of(old) and len(list(Path(old_folder).rglob("*.lance"))) == 1, "it is open"
    del old
    tight.make_room()
    assert not list(Path(old_folder).rglob("*.lance"))
    assert all_of(new)
