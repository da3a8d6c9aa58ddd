"""A latent action model trains on robots and people together, with and without what people's hands felt."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataengine.errors import DataEngineError
from dataengine.shards.reader import ShardReader
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import WindowSpec, cut_window
from pipelines import shard, stats
from pipelines.training import data
from pipelines.training.collators import LamCollator
from pipelines.training.frames import Buffers, Frames
from pipelines.training.lam import lam as train_lam
from tests.support.corpora import human_clip, make_corpus, robot_episode
from tests.support.hands import some_hands

TINIER = {"resolution": 32, "patch_size": 8, "encoder_depth": 1, "encoder_width": 32, "decoder_depth": 1}
SETTINGS = {"preset": "tiny", "steps": 3, "batch_size": 4, "val_fraction": 0.3, "device": "cpu", "val_windows": 8}
STEPS = 20


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = str(tmp_path_factory.mktemp("hands") / "corpus")
    people = [replace(human_clip(f"h{i}", num_steps=STEPS), hands=some_hands(STEPS, absent=8)) for i in range(5)]
    robots = [robot_episode(f"r{i}", num_steps=24) for i in range(8)]
    make_corpus(uri, {"a": robots, "b": people, "c": [human_clip("blind", num_steps=STEPS)]})
    stats.run(stats.StatsConfig(corpus=uri))
    return uri


def test_people_have_states_and_actions_on_demand_alone(corpus: str) -> None:
    plain, felt = TableReader(Corpus.open(corpus)), TableReader(Corpus.open(corpus), use_hands=True)
    people = [e for e in felt.episodes if e.kind == "human"]
    assert all(plain.state(e.row) is None and plain.action(e.row) is None for e in people)
    assert list(plain.statistics()) == ["arm"]
    assert sorted(felt.statistics()) == ["arm", "human_hand"]
    states = [felt.state(e.row) for e in people]
    assert [state is None for state in states].count(True) == 1, "the clip without hands"
    first = next(state for state in states if state is not None)
    assert first.shape == (STEPS, 14)
    assert np.isnan(first[:8, :7]).all()
    assert np.isfinite(first[8:]).all()
    for e in felt.episodes:
        if e.kind == "robot":
            np.testing.assert_array_equal(felt.state(e.row), plain.state(e.row))  # type: ignore[arg-type]
    assert plain.identity.fingerprint == felt.identity.fingerprint


def test_absent_hands_count_nowhere_in_a_batch(corpus: str) -> None:
    reader = TableReader(Corpus.open(corpus), use_hands=True)
    spec = WindowSpec(num_frames=3, interval_s=0.3)
    row = next(e.row for e in reader.episodes if e.kind == "human" and reader.state(e.row) is not None)
    collator = LamCollator(
        frames=Frames(reader, spec.slots, 32, cache_mb=1, num_threads=1),
        buffers=Buffers(0),
        normalizer=Normalizer(reader.statistics()),
        state_dim=14,
        action_dim=14,
    )
    batch = collator.collate([cut_window(reader, spec, row, 4)])
    # Steps 4 to 10: the left hand comes at step 8, so the pair 4 to 7 has none of it, the pair 7 to 10 all after 7.
    assert not batch.state_mask[0, 0, :, :7].any()
    assert batch.state_mask[0, 1, :, :7].all()
    assert batch.state_mask[0, :, :, 7:].all()
    assert batch.action_mask[0, 1, :, 0].tolist() == [False, True, True]
    for values in (batch.state, batch.future_state, batch.action):
        assert torch.isfinite(values).all()
    assert not batch.future_state[~batch.state_mask].any()
    assert not batch.action[~batch.action_mask].any()
    collator.frames.close()


@pytest.mark.parametrize("use_hands", [False, True])
def test_a_model_trains_on_robots_and_people_together(corpus: str, tmp_path: Path, use_hands: bool) -> None:
    config = {**SETTINGS, "data": corpus, "out": tmp_path / "lam", "model": TINIER, "use_hands": use_hands}
    report = train_lam.run(train_lam.TrainLamConfig(**config))
    assert {p.embodiment for p in report.scores.proprio} >= ({"human_hand"} if use_hands else set())
    assert ("human_hand" in {p.embodiment for p in report.scores.proprio}) == use_hands
    assert all(np.isfinite([p.state, p.action]).all() for p in report.scores.proprio)


def test_shards_give_what_the_corpus_gives(corpus: str, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    shard.run(shard.ShardConfig(corpus=corpus, out=str(out), segment_steps=7, shard_mb=0.02))
    assert json.loads((out / "manifest.json").read_text())["version"] == 4
    plain, there = ShardReader(out), ShardReader(out, use_hands=True)
    table = TableReader(Corpus.open(corpus), use_hands=True)
    assert all(plain.state(e.row) is None for e in plain.episodes if e.kind == "human")
    assert list(plain.statistics()) == ["arm"]
    rows = {e.episode_id: e.row for e in table.episodes}
    for e in there.episodes:
        for one, other in (
            (there.state(e.row), table.state(rows[e.episode_id])),
            (there.action(e.row), table.action(rows[e.episode_id])),
        ):
            np.testing.assert_array_equal(one, other)  # type: ignore[arg-type]
    assert {k: v.to_json() for k, v in there.statistics().items()} == {
        k: v.to_json() for k, v in table.statistics().items()
    }
    figures = []
    for data_uri in (corpus, str(out)):
        trained = tmp_path / f"lam{len(figures)}"
        config = {**SETTINGS, "data": data_uri, "out": trained, "model": TINIER, "log_every": 1, "use_hands": True}
        report = train_lam.run(train_lam.TrainLamConfig(**config))
        lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
        figures.append(([line["loss"] for line in lines if "loss" in line], report.scores))
    assert len(figures[0][0]) == 3
    assert figures[0] == figures[1]


def test_shards_without_hands_stay_as_they_were_and_say_that_they_have_none(tmp_path: Path) -> None:
    blind = make_corpus(tmp_path / "blind", {"a": [robot_episode("r", num_steps=24), human_clip("h", num_steps=STEPS)]})
    stats.run(stats.StatsConfig(corpus=blind.uri))
    out = tmp_path / "shards"
    shard.run(shard.ShardConfig(corpus=blind.uri, out=str(out)))
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["version"], "hands" in manifest) == (3, False)
    with pytest.raises(DataEngineError, match=r"found no hands with a wrist in metres.*`villa shard` into another"):
        data.open_reader(str(out), use_hands=True)


def test_a_setting_that_cannot_be_is_named(corpus: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data": corpus, "out": tmp_path / "lam", "use_hands": True}
    with pytest.raises(ValueError, match="use_hands needs proprio=true"):
        train_lam.TrainLamConfig(**settings, proprio=False)
    blind = make_corpus(tmp_path / "blind", {"a": [human_clip("h", num_steps=STEPS)]})
    with pytest.raises(DataEngineError, match="found no hands with a wrist in metres"):
        data.open_reader(blind.uri, use_hands=True)
