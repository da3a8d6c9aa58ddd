"""What is trained on a snapshot is what was there when it was taken, whatever came after."""

import json
from datetime import timedelta
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from dataengine.errors import DataEngineError
from dataengine.progress import ProgressBar
from dataengine.store import Corpus
from dataengine.store.upkeep import compaction
from dataengine.windows.mixture import WindowSampler
from dataengine.windows.window import EpisodeReader, WindowSpec
from pipelines import label, shard, stats
from pipelines.corpus import versions
from pipelines.training.data import open_reader, origin
from pipelines.training.lam import lam as train_lam
from tests.support.collators import as_trained
from tests.support.corpora import add_parts, make_corpus, robot_episode

LAM = {"preset": "tiny", "steps": 3, "batch_size": 4, "log_every": 1, "val_windows": 8, "device": "cpu"}
WEIGHTS = {"made": 1.0, "other": 3.0}
CURATED = pa.schema([("keep", pa.bool_()), ("trim_start", pa.int32()), ("trim_end", pa.int32())])


def judge(corpus: Corpus, fragment_id: int, keep: list[bool], trim: int) -> None:
    corpus.ensure_columns(CURATED)
    rows = corpus.fragment_table(fragment_id, ["episode_id"])["_rowid"]
    trims = {name: pa.array([trim] * len(keep), pa.int32()) for name in ("trim_start", "trim_end")}
    corpus.update_fragment(fragment_id, pa.table({"_rowid": rows, "keep": keep, **trims}))


def change_everything(corpus: Corpus) -> None:
    """Ingest, curate, measure, label with nothing, compact, and remove every version that may go."""
    add_parts(corpus, {"c": [robot_episode(f"c{i}") for i in range(5)]})
    judge(corpus, 0, [False] * 3 + [True] * 3, 5)
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    compaction.compact(corpus.uri, 10**9, ProgressBar("compact", 1, "bytes"))
    compaction.compact_side_tables(corpus.uri)
    for table in Path(corpus.uri).glob("*.lance"):
        lance.dataset(str(table)).cleanup_old_versions(timedelta(microseconds=1), error_if_tagged_old_versions=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two datasets, curated and measured, named `march` with a mixture."""
    parts = {"a": [robot_episode(f"a{i}") for i in range(6)], "b": [robot_episode("b", dataset="other", num_steps=50)]}
    corpus = make_corpus(tmp_path / "corpus", parts)
    judge(corpus, 0, [True] * 5 + [False], 1)
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    versions.snapshot(versions.SnapshotConfig(corpus=corpus.uri, name="march", mixture={"weights": WEIGHTS}))
    return corpus


def seen(reader: EpisodeReader) -> tuple[object, ...]:
    """All that a training could read: episodes, statistics, and windows with their pictures."""
    spec = WindowSpec(num_frames=3, interval_s=0.4, horizon=9)
    sampler = WindowSampler(reader.episodes, spec, batch_size=24, seed=1)
    picks = sampler.batch(0) + sampler.batch(1)
    drawn = [(reader.episodes[row].episode_id, start) for row, start in picks]
    tensors = {name: tensor.numpy().tobytes() for name, tensor in as_trained(reader, spec, picks).items()}
    return list(reader.episodes), origin(reader) | {"git_revision": ""}, drawn, tensors


def test_a_reader_sees_nothing_beyond_the_snapshot(corpus: Corpus) -> None:
    before = seen(open_reader(f"{corpus.uri}@march"))
    change_everything(corpus)
    then, now = open_reader(f"{corpus.uri}@march"), open_reader(corpus.uri)
    assert seen(then) == before
    assert [len(reader.episodes) for reader in (then, now)] == [6, 9]
    assert sorted({e.num_steps for e in then.episodes}) == [28, 50]
    assert then.statistics()["arm"].action.count == 5 * 28 + 50
    assert (then.identity.snapshot, now.identity.snapshot) == ("march", "")


def test_training_sees_the_old_state_and_its_checkpoint_names_it(corpus: Corpus, tmp_path: Path) -> None:
    snapshot = f"{corpus.uri}@march"
    first = train_lam.run(train_lam.TrainLamConfig(data=snapshot, out=tmp_path / "first", val_fraction=0, **LAM))
    change_everything(corpus)
    second = train_lam.run(train_lam.TrainLamConfig(data=snapshot, out=tmp_path / "second", val_fraction=0, **LAM))
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / out / "metrics.jsonl").read_text().splitlines()]
        for out in ("first", "second")
    ]
    assert losses[0] == losses[1]
    assert first.shares == second.shares == {"made": 0.25, "other": 0.75}  # the mixture that was pinned
    for about in (tmp_path / "second", next((tmp_path / "second" / "checkpoints").iterdir())):
        config = json.loads((about / "model_config.json").read_text())
        assert (config["data"]["snapshot"], config["data"]["mixture"]["weights"]) == ("march", WEIGHTS)
        assert config["training"]["mixture"]["weights"] == WEIGHTS
        assert config["statistics"]["arm"]["state"]["grippers"] == [6]
        assert config["statistics"]["arm"]["state"]["count"] == 5 * 28 + 50


def test_a_mixture_that_is_given_goes_before_the_pinned_one(corpus: Corpus, tmp_path: Path) -> None:
    given = train_lam.TrainLamConfig(data=f"{corpus.uri}@march", out=tmp_path / "x", mixture={}, **LAM)
    assert set(train_lam.run(given).shares.values()) != {0.25, 0.75}


def test_shards_name_the_snapshot_and_bring_its_mixture(corpus: Corpus, tmp_path: Path) -> None:
    change_everything(corpus)
    shard.run(shard.ShardConfig(corpus=f"{corpus.uri}@march", out=str(tmp_path / "shards"), threads=1))
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert (manifest["identity"]["snapshot"], manifest["num_episodes"]) == ("march", 6)
    assert manifest["statistics"]["arm"]["state"]["grippers"] == [6]
    reader, table = open_reader(str(tmp_path / "shards")), open_reader(f"{corpus.uri}@march")
    assert reader.identity == table.identity
    assert seen(reader)[1:] == seen(table)[1:]
    trained = train_lam.run(
        train_lam.TrainLamConfig(data=str(tmp_path / "shards"), out=tmp_path / "x", val_fraction=0, **LAM)
    )
    assert trained.shares == {"made": 0.25, "other": 0.75}


def test_labels_are_not_written_to_a_snapshot(corpus: Corpus, tmp_path: Path) -> None:
    train_lam.run(train_lam.TrainLamConfig(data=corpus.uri, out=tmp_path / "lam", **LAM))
    with pytest.raises(DataEngineError, match="snapshot 'march' never changes; give the corpus itself, without @march"):
        label.run(label.LabelConfig(corpus=f"{corpus.uri}@march", lam=tmp_path / "lam", threads=1))
    assert Corpus.open(corpus.uri).version == corpus.version


def test_a_corpus_whose_own_name_has_an_at_sign_is_read_as_ever(tmp_path: Path) -> None:
    uri = str(tmp_path / "lab@night")
    corpus = make_corpus(uri, {"a": [robot_episode("a0")]})
    corpus.take_snapshot("v1")
    assert len(Corpus.open(uri)) == len(Corpus.open(f"{uri}@v1")) == 1
    with pytest.raises(DataEngineError, match="snapshot 'v1' never changes"):
        Corpus.open_or_create(f"{uri}@v1")
    assert not Path(f"{uri}@v1").exists()
