"""Latent actions that are computed while a policy is trained are those that the model says of the frames to come."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from dataengine.windows.window import WindowSpec, cut_window
from models.weights import load_lam, read_config
from pipelines import label, stats
from pipelines.training.act import act as train_act
from pipelines.training.act.online import OnlineLatents
from pipelines.training.finetune import finetune
from pipelines.training.finetune.config import FinetuneConfig
from tests.support.corpora import human_clip, make_corpus, robot_episode
from tests.support.labelled import make_models

QUICK = {
    "preset": "tiny",
    "batch_size": 4,
    "log_every": 1,
    "val_windows": 4,
    "val_fraction": 0.0,
    "val_every": 0,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Robots and people, without labels, and two models."""
    root = tmp_path_factory.mktemp("online")
    parts = {"a": [robot_episode(f"r{i}") for i in range(4)], "h": [human_clip("h")]}
    corpus = make_corpus(root / "corpus", parts)
    make_models(corpus, root)
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    return root


def test_they_are_what_the_model_says_of_the_frames_from_the_observation_on(lab: Path) -> None:
    reader = TableReader(Corpus.open(str(lab / "corpus")))
    online = OnlineLatents.read(lab / "one", reader, torch.device("cpu"), 100)
    spec = WindowSpec(interval_s=online.info.interval_s, horizon=4, num_latents=2)
    (row,) = (e.row for e in reader.episodes if e.episode_id == min(x.episode_id for x in reader.episodes))
    end = reader.episodes[row].num_steps
    windows = [cut_window(reader, spec, row, start) for start in (3, end - 4, end - 2)]
    stride = windows[0].stride
    assert all(w.latent is None for w in windows)
    latent, mask = online.plans(windows, 2)
    assert mask.tolist() == [[True, True], [True, False], [False, False]]
    assert not latent[~mask].any()
    lam, side = load_lam(lab / "one"), online.frames.side
    for start, count, latents in ((3, 2, latent[0]), (end - 4, 1, latent[1, :1])):
        pixels = np.zeros((count + 1, side, side, 3), np.uint8)
        online.frames.fetch("primary", [(row, start + i * stride) for i in range(count + 1)], pixels)
        video = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        np.testing.assert_allclose(latents, lam.encode(video).quantized[0].numpy())


@pytest.mark.slow
def test_a_policy_is_trained_and_fine_tuned_without_a_label(lab: Path, tmp_path: Path) -> None:
    fields = {"data": str(lab / "corpus"), "steps": 2, **QUICK}
    with pytest.raises(DataEngineError, match="found latent actions none"):
        train_act.run(train_act.TrainActConfig(out=tmp_path / "none", **fields))
    report = train_act.run(train_act.TrainActConfig(out=tmp_path / "act", lam=lab / "one", **fields))
    assert report.latent == "online"
    assert report.shares["made"] > 0
    assert report.metrics["latent"] > 0.1
    assert report.train_episodes == 5  # people's clips teach the plan
    about = read_config(tmp_path / "act")
    assert about["config"]["latent_scale"] == pytest.approx(
        OnlineLatents.read(lab / "one", TableReader(Corpus.open(str(lab / "corpus"))), torch.device("cpu"), 0).rms,
        abs=1e-6,
    )
    tuned = {"checkpoint": tmp_path / "act", "embodiments": ("arm",), **fields}
    report = finetune.run(FinetuneConfig(out=tmp_path / "tuned", lam=lab / "one", **tuned))
    assert report.latent == "online"
    with pytest.raises(DataEngineError, match=r"the policy plans latent actions of model .*'online' of"):
        finetune.run(FinetuneConfig(out=tmp_path / "other", lam=lab / "two", **tuned))
    label.run(label.LabelConfig(corpus=str(lab / "corpus"), lam=lab / "one", name="column", threads=1))
    assert finetune.run(FinetuneConfig(out=tmp_path / "column", **tuned)).latent == "column"


def test_a_column_and_a_model_are_not_both_given() -> None:
    with pytest.raises(ValueError, match="latent=base names a column and lam=x computes them; give one of both"):
        train_act.TrainActConfig(data="d", out="o", latent="base", lam="x")
