"""What a finished latent action model is judged on: robots that it knows, robots that it never saw, human clips."""

from pathlib import Path

import pytest

from pipelines import stats
from pipelines.training.lam import lam as train_lam
from pipelines.training.lam.lam import TrainLamReport
from tests.support.corpora import add_parts, human_clip, make_corpus, robot_episode

TINIER = {"resolution": 32, "patch_size": 8, "encoder_depth": 1, "encoder_width": 32, "decoder_depth": 1}
SETTINGS = {"preset": "tiny", "steps": 3, "batch_size": 4, "val_fraction": 0.4, "device": "cpu", "val_windows": 400}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = str(tmp_path_factory.mktemp("scores") / "corpus")
    robots = [robot_episode(f"r{i}", num_steps=24) for i in range(12)]
    made = make_corpus(uri, {"a": robots[:6], "b": robots[6:]})
    strangers = [robot_episode(f"s{i}", dataset="strange", embodiment="strange_arm") for i in range(4)]
    add_parts(made, {"c": strangers, "d": [human_clip(f"h{i}", dataset="clips") for i in range(6)]})
    stats.run(stats.StatsConfig(corpus=uri))
    return uri


def train(corpus: str, out: Path, **settings: object) -> TrainLamReport:
    mixture = {"weights": {"made": 1, "clips": 1}}
    config = {**SETTINGS, "data": corpus, "out": out, "mixture": mixture, "model": TINIER, **settings}
    return train_lam.run(train_lam.TrainLamConfig(**config))


def test_robots_are_judged_by_what_they_felt_and_did_and_a_stranger_is_unknown(corpus: str, tmp_path: Path) -> None:
    scores = train(corpus, tmp_path / "lam").scores
    by_name = {p.embodiment: p for p in scores.proprio}
    assert {name: p.named for name, p in by_name.items()} == {"arm": True, "strange_arm": False}
    assert all(p.action > 0 and p.state > 0 and p.state_if_held > 0 for p in by_name.values())
    assert {c.embodiment for c in scores.controls} == {v.embodiment for v in scores.visual} > set(by_name)


def test_a_model_without_proprio_has_no_such_scores(corpus: str, tmp_path: Path) -> None:
    scores = train(corpus, tmp_path / "lam", proprio=False).scores
    assert scores.proprio == []
    assert 1 <= scores.codes_used <= sum(slot.used for slot in scores.codebook)
