"""Shards of a mixture, of several latent action models, in object stores, and of a corpus with trimmed episodes."""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from dataengine.errors import DataEngineError
from dataengine.shards.plan import plan
from dataengine.shards.reader import ShardReader
from dataengine.shards.writer import write_shards
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from dataengine.windows.mixture import Mixture, WindowSampler
from dataengine.windows.window import Window, WindowSpec, cut_window
from pipelines import shard, stats
from pipelines.training.data import open_reader, with_mixture
from pipelines.training.lam.lam import TrainLamConfig
from tests.support import warm
from tests.support.collators import as_trained, assert_equal
from tests.support.corpora import human_clip, make_corpus, robot_episode
from tests.support.mixed_shards import SMALL, mixed_reader
from tests.support.object_store import as_s3, served_s3

ROOT = Path(__file__).parents[3]
SPEC = WindowSpec(num_frames=3, interval_s=0.3, horizon=5)


def test_latent_actions_of_several_models_travel_together(tmp_path: Path) -> None:
    reader = mixed_reader()
    write_shards(reader, tmp_path, plan(reader, latents=["lam", "wide"], **SMALL))
    stored = ShardReader(tmp_path)
    assert stored.latents == ("lam", "wide")
    for lam in stored.latents:
        assert stored.latent_info(lam) == reader.latent_info(lam)
        for e in stored.episodes:
            row = next(o.row for o in reader.episodes if o.episode_id == e.episode_id)
            for ours, theirs in zip(stored.latent(e.row, lam), reader.latent(row, lam), strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_what_a_mixture_never_draws_is_not_written_and_trainings_draw_by_it(tmp_path: Path) -> None:
    reader = mixed_reader()
    mixture = Mixture(weights={"pantry": 3.0, "kitchen": 1.0, "attic": 0.0}, fractions={"pantry": 0.7})
    write_shards(reader, tmp_path, plan(reader, mixture=mixture, **SMALL))
    stored = open_reader(str(tmp_path))
    used = {e.episode_id for e in reader.episodes if mixture.uses(e) and e.dataset != "attic"}
    assert {e.episode_id for e in stored.episodes} == used
    assert len(used) < 8
    assert json.loads((tmp_path / "manifest.json").read_text())["shares"] == {"pantry": 0.75, "kitchen": 0.25}
    config = with_mixture(TrainLamConfig(data="d", out="o"), stored)
    assert config.mixture == mixture
    draws = [WindowSampler(r.episodes, SPEC, batch_size=8, seed=1, mixture=config.mixture) for r in (reader, stored)]
    assert draws[0].shares == draws[1].shares
    for step in range(5):
        picks = [d.batch(step) for d in draws]
        assert_equal(*(as_trained(r, SPEC, some) for r, some in zip((reader, stored), picks, strict=True)))


def test_a_mixture_of_something_else_is_other_data(tmp_path: Path) -> None:
    reader = mixed_reader()
    some, same, everything = (
        plan(reader, mixture=Mixture(weights=weights), **SMALL)
        for weights in ({"pantry": 1.0}, {"pantry": 1.0}, {"pantry": 1.0, "kitchen": 1.0, "attic": 1.0})
    )
    assert some.fingerprint == same.fingerprint != everything.fingerprint
    assert everything.identity.fingerprint == reader.identity.fingerprint != some.identity.fingerprint
    write_shards(reader, tmp_path, some)
    with pytest.raises(DataEngineError, match="holds shards of other data or settings"):
        write_shards(reader, tmp_path, everything)
    with pytest.raises(DataEngineError, match=r"mixture names dataset 'pantri'.*did you mean 'pantry'"):
        plan(reader, mixture=Mixture(weights={"pantri": 1.0}))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two datasets of robots and one of hands; every episode loses its first two steps and its last three."""
    parts = {
        "a": [robot_episode(f"a{i}", num_steps=24 + i) for i in range(6)],
        "b": [robot_episode(f"b{i}", dataset="other", num_steps=40) for i in range(2)],
        "c": [human_clip(f"c{i}") for i in range(2)],
    }
    made = make_corpus(tmp_path_factory.mktemp("made") / "corpus", parts)
    made.ensure_columns(pa.schema([("keep", pa.bool_()), ("trim_start", pa.int32()), ("trim_end", pa.int32())]))
    for fragment in made.fragment_ids():
        rows = made.fragment_table(fragment, ["episode_id"])["_rowid"]
        trims = {name: pa.array([by] * len(rows), pa.int32()) for name, by in (("trim_start", 2), ("trim_end", 3))}
        made.update_fragment(fragment, pa.table({"_rowid": rows, "keep": [True] * len(rows), **trims}))
    stats.run(stats.StatsConfig(corpus=made.uri))
    return made


def all_windows(uri: str) -> tuple[list[Window], dict[str, torch.Tensor]]:
    """Every window of an epoch, and what training makes of them."""
    reader = open_reader(uri)
    sampler = WindowSampler(reader.episodes, SPEC, batch_size=16, seed=5)
    picks = [pick for step in range(sampler.windows_per_epoch // 16 + 1) for pick in sampler.batch(step)]
    return [cut_window(reader, SPEC, row, start) for row, start in picks], as_trained(reader, SPEC, picks)


def test_table_and_shards_of_trimmed_episodes_give_the_same_windows(corpus: Corpus, tmp_path: Path) -> None:
    shard.run(shard.ShardConfig(corpus=corpus.uri, out=str(tmp_path), shard_mb=0.05, segment_steps=7, threads=2))
    (table, ours), (stored, theirs) = all_windows(corpus.uri), all_windows(str(tmp_path))
    assert len(table) == len(stored) > 60
    assert_equal(ours, theirs)
    for one, other in zip(table, stored, strict=True):
        assert (one.episode.episode_id, one.start) == (other.episode.episode_id, other.start)
        for name in ("frames", "frame_mask", "state", "action"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    whole = {e.episode_id: e.num_steps for e in TableReader(corpus, kept_only=False).episodes}
    assert all(w.episode.num_steps == whole[w.episode.episode_id] - 5 for w in stored)


def test_webdataset_decodes_every_step_once(corpus: Corpus, tmp_path: Path) -> None:
    import webdataset

    shard.run(shard.ShardConfig(corpus=corpus.uri, out=str(tmp_path), shard_mb=0.05, segment_steps=7))
    urls = sorted(str(path) for path in tmp_path.glob("*.tar"))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode())
    stored = ShardReader(tmp_path)
    about = [sample["json"] for sample in samples]
    seen = {(a["episode_id"], a["first"] + i) for a in about for i in range(a["segment_steps"])}
    assert seen == {(e.episode_id, step) for e in stored.episodes for step in range(e.num_steps)}
    assert sum(a["segment_steps"] for a in about) == len(seen) == stored.manifest["num_steps"]


@pytest.fixture
def bucket() -> Iterator[object]:
    """A server that speaks S3, with a bucket `out`."""
    import boto3

    with served_s3() as (host, port), as_s3(f"http://{host}:{port}"):
        client = boto3.client("s3")
        client.create_bucket(Bucket="out")
        yield client


def objects(bucket) -> dict[str, dict]:
    """All shards' files by name; the folder itself, which pyarrow marks by an empty object, is none."""
    listed = bucket.list_objects_v2(Bucket="out")["Contents"]
    return {o["Key"].rpartition("/")[2]: o for o in listed if not o["Key"].endswith("/")}


def test_shards_in_an_object_store_are_those_on_a_disk_and_resume(
    corpus: Corpus, tmp_path: Path, bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    kwargs = {"corpus": corpus.uri, "shard_mb": 0.05, "segment_steps": 7}
    shard.run(shard.ShardConfig(out=str(tmp_path / "disk"), **kwargs))
    report = shard.run(shard.ShardConfig(out="s3://out/runs/shards", **kwargs))
    written = objects(bucket)
    for path in (tmp_path / "disk").iterdir():
        there = bucket.get_object(Bucket="out", Key=f"runs/shards/{path.name}")["Body"].read()
        assert there == path.read_bytes(), path.name
    assert written.keys() == {path.name for path in (tmp_path / "disk").iterdir()}
    assert report.shards >= 3
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert list(open_reader("s3://out/runs/shards").episodes) == list(open_reader(str(tmp_path / "disk")).episodes)
    # One shard never arrived: only it is written again.
    for key in ("manifest.json", "shard-000001.parquet"):
        bucket.delete_object(Bucket="out", Key=f"runs/shards/{key}")
    shard.run(shard.ShardConfig(out="s3://out/runs/shards", **kwargs))
    again = objects(bucket)
    renewed = {name for name in again if again[name]["LastModified"] != written[name]["LastModified"]}
    assert renewed <= {"manifest.json", "shard-000001.parquet", "shard-000001.tar"}
    assert {name: o["ETag"] for name, o in again.items()} == {name: o["ETag"] for name, o in written.items()}


KILLED = """
import os, signal, sys
from dataengine.shards.plan import plan
from dataengine.shards.writer import write_shards
from tests.support.mixed_shards import SMALL, mixed_reader
place, left = sys.argv[1], int(sys.argv[2])
reader = mixed_reader()
read = reader.jpegs
def dying(slot, wanted):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(slot, wanted)
reader.jpegs = dying
write_shards(reader, place, plan(reader, latents=["lam"], **SMALL))
"""


def test_emission_killed_again_and_again_ends_in_the_same_bytes(tmp_path: Path) -> None:
    reader = mixed_reader()
    write_shards(reader, tmp_path / "whole", plan(reader, latents=["lam"], **SMALL))
    codes = []
    while not codes or codes[-1]:
        codes.append(warm.Program(KILLED, tmp_path / "parts", 7).ended().returncode)
        assert len(codes) < 12
    assert codes[:-1] == [-9] * (len(codes) - 1)
    assert len(codes) > 2
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert {path.name for path in (tmp_path / "parts").iterdir()} == names
    for name in names:
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_the_manifest_tells_the_truth_about_every_tar(corpus: Corpus, tmp_path: Path) -> None:
    shard.run(shard.ShardConfig(corpus=corpus.uri, out=str(tmp_path), shard_mb=0.05))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for entry in manifest["shards"]:
        data = (tmp_path / entry["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["num_bytes"], entry["sha256"])
        with tarfile.open(tmp_path / entry["name"]) as tar:
            assert len({name.partition(".")[0] for name in tar.getnames()}) == entry["num_samples"]
    assert manifest["num_samples"] == sum(entry["num_samples"] for entry in manifest["shards"])
