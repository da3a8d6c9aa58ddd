"""Raw recordings and corpora in object stores: real servers that speak S3 and Google Cloud Storage, on this machine."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine import storage
from dataengine.errors import SourceError
from dataengine.formats import rlds
from dataengine.store import Corpus, verify
from pipelines.corpus.drop import DropConfig
from pipelines.corpus.drop import run as drop
from pipelines.ingest import run as ingest
from pipelines.ingest.config import IngestConfig
from tests.support.object_store import as_s3, served_s3
from tests.support.openx_writer import write_openx
from tests.support.warm import WarmProcess


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes in LIBERO's schema."""
    draw = np.random.default_rng(0)
    episodes = [
        {
            "observation": {
                "image": draw.integers(0, 255, (t, 32, 32, 3), dtype=np.uint8),
                "wrist_image": draw.integers(0, 255, (t, 32, 32, 3), dtype=np.uint8),
                "state": draw.normal(size=(t, 8)).astype(np.float32),
            },
            "action": draw.uniform(-1, 1, (t, 7)).astype(np.float32),
            "language_instruction": "open the drawer",
        }
        for t in (4, 5, 6)
    ]
    return write_openx(tmp_path_factory.mktemp("libero"), "libero_goal_no_noops", episodes, version="1.0.0")


@pytest.fixture(scope="module")
def s3(dataset: Path) -> Iterator[str]:
    """A bucket `raw` with the dataset and an empty bucket `corpora`; give the server's address."""
    import boto3

    with served_s3() as (host, port), as_s3(f"http://{host}:{port}"):
        client = boto3.client("s3")
        client.create_bucket(Bucket="raw")
        client.create_bucket(Bucket="corpora")
        for file in dataset.iterdir():
            client.upload_file(str(file), "raw", f"libero/1.0.0/{file.name}")
        yield f"{host}:{port}"


@pytest.fixture
def gs(dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The dataset in a public bucket; give its URI."""
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="public")
    server.start()
    try:
        host, port = server._api._httpd.server_address[:2]
        for file in dataset.iterdir():
            request = urllib.request.Request(
                f"http://{host}:{port}/upload/storage/v1/b/public/o?uploadType=media&name=libero/1.0.0/{file.name}",
                data=file.read_bytes(),
                method="POST",
                headers={"Content-Type": "application/octet-stream"},
            )
            urllib.request.urlopen(request).read()
        yield f"gs://anonymous@public/libero/1.0.0?endpoint_override={host}:{port}&scheme=http"
    finally:
        server.stop()


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return np.array_equal(left, right) if isinstance(left, np.ndarray) else left == right


def test_a_dataset_in_s3_reads_as_it_does_from_a_disk(s3: str, dataset: Path) -> None:
    there = f"s3://raw/libero/1.0.0?endpoint_override={s3}&scheme=http"
    pairs = list(zip(rlds.episodes(there), rlds.episodes(dataset), strict=True))
    assert len(pairs) == 3
    assert all(same(ours, theirs) for ours, theirs in pairs)


def test_a_dataset_in_google_cloud_storage_reads_as_it_does_from_a_disk(gs: str, dataset: Path) -> None:
    pairs = list(zip(rlds.episodes(gs), rlds.episodes(dataset), strict=True))
    assert len(pairs) == 3
    assert all(same(ours, theirs) for ours, theirs in pairs)


def test_a_wrong_place_in_a_store_is_told_in_one_line(s3: str) -> None:
    for uri, said in {
        "s3://raw/nowhere": "found nothing",
        "s3://raw/libero": "pass s3://raw/libero/1.0.0",
        "s3://no-such-bucket/libero/1.0.0": "found nothing",
        "ftp://raw/libero": "expected a path, s3:// or gs://",
    }.items():
        with pytest.raises(SourceError) as caught:
            rlds.shards(uri)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_query_stays_at_the_end_of_a_uri() -> None:
    assert storage.join("s3://b/f?region=x", "a/b.json") == "s3://b/f/a/b.json?region=x"
    assert storage.join("gs://b/f/", "a") == "gs://b/f/a"
    assert storage.join("/data/f", "a") == "/data/f/a"


def rows(corpus: str) -> list[dict]:
    stored = Corpus.open(corpus)
    table = stored.table().drop_columns(["run_id", "source_uri", "source_fingerprint"]).to_pylist()
    for row in table:
        episode = stored.episode(row["episode_id"])
        row["jpegs"] = {slot: episode.jpegs(slot) for slot in episode.cameras}
    return sorted(table, key=lambda row: row["episode_id"])


def test_from_s3_into_a_corpus_in_s3_gives_the_rows_of_a_local_run(s3: str, dataset: Path, tmp_path: Path) -> None:
    kwargs = {"source": "openx/libero", "workers": 1}
    report = ingest(IngestConfig(root="s3://raw/libero/1.0.0", corpus="s3://corpora/one", **kwargs))
    assert (report.committed_parts, report.episodes) == (1, 3)
    ingest(IngestConfig(root=str(dataset), corpus=str(tmp_path / "corpus"), **kwargs))
    assert rows("s3://corpora/one") == rows(str(tmp_path / "corpus"))
    assert verify(Corpus.open("s3://corpora/one"), deep=True).ok
    again = ingest(IngestConfig(root="s3://raw/libero/1.0.0", corpus="s3://corpora/one", **kwargs))
    assert (again.skipped_parts, again.changed_parts) == (1, [])


def _ingest_npz(root: str, corpus: str) -> None:
    ingest(IngestConfig(source="tests.support.npz_source:NpzSource", root=root, corpus=corpus, workers=1))


@pytest.mark.slow
def test_two_drivers_at_once_commit_every_part_once_to_s3(s3: str, tmp_path: Path) -> None:
    from tests.support.npz_source import write_parts

    write_parts(tmp_path / "raw", 6)
    drivers = [WarmProcess(target=_ingest_npz, args=(str(tmp_path / "raw"), "s3://corpora/race")) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert [driver.exitcode for driver in drivers] == [0, 0]
    corpus = Corpus.open("s3://corpora/race")
    records = corpus.table(["source_record"])["source_record"].to_pylist()
    assert len(records) == len(set(records)) == 18
    assert verify(corpus, deep=True).ok


def test_a_dataset_is_dropped_from_a_corpus_in_s3_and_ingested_anew(s3: str) -> None:
    kwargs = {"source": "openx/libero", "root": "s3://raw/libero/1.0.0", "corpus": "s3://corpora/again", "workers": 1}
    ingest(IngestConfig(**kwargs))
    before = rows("s3://corpora/again")
    dropped = drop(DropConfig(corpus="s3://corpora/again", dataset="openx/libero", yes=True))
    assert (dropped.episodes, dropped.steps) == (3, 4 + 5 + 6)
    assert len(Corpus.open("s3://corpora/again")) == 0
    assert ingest(IngestConfig(**kwargs, frame_size=16)).episodes == 3
    again = rows("s3://corpora/again")
    assert {row["height_primary"] for row in before + again} == {32, 16}
    assert [row["episode_id"] for row in again] == [row["episode_id"] for row in before]
    assert verify(Corpus.open("s3://corpora/again"), deep=True).ok
