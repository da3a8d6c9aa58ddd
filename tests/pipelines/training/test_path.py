"""From a corpus to a policy, through shards: real tables, real models, tiny."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from dataengine.shards.reader import ShardReader
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from dataengine.windows import labels
from dataengine.windows.episode_info import is_held_out
from dataengine.windows.mixture import WindowSampler
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import WindowSpec, steps_per_latent
from models.weights import load_lam, read_config
from pipelines import label, shard, stats
from pipelines.evaluation import plan
from pipelines.evaluation.policy import ActPolicy
from pipelines.evaluation.simulators._base import Observation
from pipelines.training import fit
from pipelines.training.act import act as train_act
from pipelines.training.act import policy_task
from pipelines.training.act.stated import unfinished
from pipelines.training.lam import lam as train_lam
from tests.support.collators import as_trained, assert_equal
from tests.support.corpora import draw, human_clip, make_corpus, robot_episode
from tests.support.figures import unexplained

ROOT = Path(__file__).parents[3]
LAM = {"preset": "tiny", "steps": 6, "batch_size": 4, "log_every": 1, "val_windows": 24, "device": "cpu"}
ACT = {"preset": "tiny", "steps": 6, "batch_size": 4, "log_every": 1, "val_windows": 24, "device": "cpu"}


@dataclass(frozen=True)
class Made:
    root: Path

    @property
    def corpus(self) -> str:
        return str(self.root / "corpus")

    @property
    def shards(self) -> str:
        return str(self.root / "shards")

    @property
    def lam(self) -> Path:
        return self.root / "lam"

    @property
    def act(self) -> Path:
        return self.root / "act"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The whole path, once."""
    made = Made(tmp_path_factory.mktemp("path"))
    robots = [robot_episode(f"r{i}", num_steps=24 + i) for i in range(14)]
    fast = [robot_episode(f"f{i}", dataset="fast", embodiment="fast_arm", control_hz=20.0) for i in range(6)]
    corpus = make_corpus(made.corpus, {"a": robots[:8], "b": robots[8:]})
    from tests.support.corpora import add_parts

    add_parts(corpus, {"c": fast})
    add_parts(corpus, {"d": [human_clip(f"h{i}", dataset="kitchen") for i in range(4)]})
    stats.run(stats.StatsConfig(corpus=made.corpus))
    train_lam.run(train_lam.TrainLamConfig(data=made.corpus, out=made.lam, **LAM))
    label.run(label.LabelConfig(corpus=made.corpus, lam=made.lam, threads=1))
    shard.run(shard.ShardConfig(corpus=made.corpus, out=made.shards, shard_mb=0.2, threads=2))
    train_act.run(train_act.TrainActConfig(data=made.shards, out=made.act, **ACT))
    return made


def losses(out: Path) -> list[tuple]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["grad_norm"]) for line in lines]


def test_every_figure_of_a_run_is_explained(made: Made) -> None:
    assert unexplained(made.lam) == set()
    assert unexplained(made.act) == set()


def test_corpus_and_shards_give_the_same_batches_bit_for_bit(made: Made) -> None:
    table, stored = TableReader(Corpus.open(made.corpus)), ShardReader(made.shards)
    assert table.identity.fingerprint == stored.identity.fingerprint
    assert table.latent_info("lam") == stored.latent_info("lam")
    framings = {name: {"side": 256, "fit": "squash"} for name in ("fast", "kitchen", "made")}
    assert read_config(made.lam)["data"]["framings"] == read_config(made.act)["data"]["framings"] == framings
    spec = WindowSpec(num_frames=3, interval_s=0.4, horizon=9, latent="lam", num_latents=2)
    draws = [WindowSampler(r.episodes, spec, batch_size=32, seed=1) for r in (table, stored)]
    for step in range(3):
        picks = [d.batch(step) for d in draws]
        named = [
            [(r.episodes[row].episode_id, start) for row, start in some]
            for r, some in zip((table, stored), picks, strict=True)
        ]
        assert named[0] == named[1]
        ours, theirs = (as_trained(r, spec, some) for r, some in zip((table, stored), picks, strict=True))
        assert_equal(ours, theirs)
        assert ours["lam.video"].float().std() > 10
    assert {name: one.to_json() for name, one in table.statistics().items()} == {
        name: one.to_json() for name, one in stored.statistics().items()
    }


def test_a_table_reads_what_the_corpus_holds(made: Made) -> None:
    corpus = Corpus.open(made.corpus)
    table = TableReader(corpus)
    assert len(table.episodes) == len(corpus) == 24
    for info in table.episodes:
        episode = corpus.episode(info.episode_id)
        assert (info.num_steps, info.embodiment_id) == (episode.num_steps, episode.embodiment_id)
        np.testing.assert_array_equal(table.state(info.row), episode.state)
        np.testing.assert_array_equal(table.action(info.row), episode.action)
        assert table.jpegs("primary", [(info.row, 3)]) == episode.jpegs("primary", [3])
        assert table.num_bytes(info.row) == sum(map(len, episode.jpegs("primary")))


def test_dropped_and_unlabelled_episodes_are_noticed(tmp_path: Path) -> None:
    import pyarrow as pa

    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode(f"r{i}") for i in range(5)]})
    with pytest.raises(DataEngineError, match=r"has no statistics of arm; run `villa stats`"):
        TableReader(corpus).statistics()
    corpus.ensure_columns(pa.schema([pa.field("keep", pa.bool_())]))
    (fragment,) = corpus.fragment_ids()
    rowids = corpus.fragment_table(fragment, ["episode_id"])["_rowid"]
    corpus.update_fragment(fragment, pa.table({"_rowid": rowids, "keep": pa.array([True, None, False, True, False])}))
    assert len(TableReader(corpus).episodes) == 3
    assert len(TableReader(corpus, kept_only=False).episodes) == 5
    info = labels.LatentInfo(name="lam", fingerprint="x", k=2, d=4, interval_s=0.4)
    corpus.ensure_columns(labels.label_fields(info, "primary"))
    with pytest.raises(
        DataEngineError, match=r"3 of 3 kept episodes have no latent actions of 'lam'; run `villa label`"
    ):
        TableReader(corpus).latent(0, "lam")


def test_the_lam_is_evaluated_beside_copying_and_shuffling(made: Made) -> None:
    report = json.loads((made.lam / "report.json").read_text())
    assert report["finished"]
    assert report["held_out_episodes"] > 0
    scores = {v["embodiment"]: v for v in report["scores"]["visual"]}
    assert scores
    assert all(v["copy_frame"] > 0 and v["model"] > 0 and v["shuffled"] > 0 for v in scores.values())
    assert len(report["scores"]["codebook"]) == 4
    assert (made.lam / "reconstructions.png").stat().st_size > 500


def test_training_never_touches_held_out_episodes(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = ShardReader(made.shards)
    seen: set[int] = set()
    state = ShardReader.state
    monkeypatch.setattr(ShardReader, "state", lambda self, row: seen.add(row) or state(self, row))
    config = train_act.TrainActConfig(data=made.shards, out=made.root / "watched", **(ACT | {"val_fraction": 0.3}))
    # Those that look at held-out episodes: at the end, and while training goes on.
    monkeypatch.setattr(policy_task, "evaluate", lambda *_: policy_task.ActScores())
    monkeypatch.setattr(fit, "make_validation", lambda *_: None)
    report = train_act.run(config)
    away = {e.row for e in stored.episodes if is_held_out(e, 0.3)}
    assert report.held_out_episodes == len(away) > 0
    assert seen
    assert not seen & away


def test_a_policy_runs_from_its_folder_alone(made: Made) -> None:
    @dataclass
    class Look:
        image: np.ndarray
        state: np.ndarray
        wrist: None = None
        embodiment: str = "arm"

    policy = ActPolicy.load(made.act)
    look = Look(draw(np.array([[0.3, 0.6]]), side=90)[0], np.array([0.3, 0.6, 0.1, 0, 0, 0, 1], np.float32))
    one = policy.act(look, "do r0")
    both = policy.act_batch([look, look], ["do r0", "do r1"])
    assert one.shape == (8, 7)
    assert one.dtype == both.dtype == np.float32
    np.testing.assert_allclose(both[0], one, atol=1e-5)
    # House units: a step of at most a few centimetres, and dimensions that never moved keep their constant.
    assert np.abs(one[:, :2]).max() < 0.1
    assert not one[:, 2:6].any()
    assert (one[:, 6] >= 0).all()
    assert (one[:, 6] <= 1).all()
    # A plan needs a picture and words: neither a body that it knows nor a state.
    stranger = Look(look.image, np.zeros(3, np.float32), embodiment="drone")
    plans = policy.plan_batch([look, stranger], ["do r0", "do r0"])
    assert plans.shape == (2, 2, 4, 16)
    np.testing.assert_allclose(plans[0], plans[1], atol=1e-6)
    drawn = [ActPolicy.load(made.act, noise="normal", seed=seed).act(look, "do r0") for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], drawn[2])
    assert not np.allclose(drawn[0], one)
    with pytest.raises(DataEngineError, match="does not know embodiment 'drone', it was trained on arm, fast_arm"):
        policy.act(Look(look.image, look.state, embodiment="drone"), "fly")
    with pytest.raises(ValueError, match=r"state of 'arm' has shape \(4,\), expected \(7,\)"):
        policy.act(Look(look.image, look.state[:4]), "do r0")


def test_a_policy_acts_as_in_the_dataset_that_it_is_asked_for(made: Made) -> None:
    policy = ActPolicy.load(made.act)
    assert policy.bodies["fast_arm"]["datasets"]["fast"]["control_hz"] == 20.0
    assert policy.bodies["fast_arm"]["dataset"] == policy.acts_as_in("fast_arm") == "fast"
    scaled = policy.normalizer.stats["arm"]
    (name,) = scaled.by_dataset
    wide = replace(scaled.action, q01=2 * scaled.action.q01, q99=2 * scaled.action.q99)
    twice = replace(scaled, by_dataset={**scaled.by_dataset, "wide": replace(scaled, action=wide, by_dataset={})})
    facts = policy.bodies["arm"]["datasets"][name]
    bodies = {"arm": {**policy.bodies["arm"], "datasets": {name: facts, "wide": facts}}}
    look = Observation(
        image=draw(np.array([[0.3, 0.6]]), side=90)[0],
        raw_state=np.zeros(7, np.float32),
        state=np.array([0.3, 0.6, 0.1, 0, 0, 0, 1], np.float32),
        embodiment="arm",
        control_hz=10.0,
    )
    asked = replace(policy, normalizer=Normalizer({"arm": twice}), bodies=bodies)
    usual, other, unknown = (
        replace(asked, dataset=dataset).act(look, "do r0") for dataset in (None, "wide", "nobody's")
    )
    np.testing.assert_array_equal(usual, unknown)
    np.testing.assert_allclose(other[:, :2], 2 * usual[:, :2], rtol=1e-4)


def test_a_policy_of_before_there_were_datasets_still_acts(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.act, tmp_path / "old", ignore=shutil.ignore_patterns("checkpoints"))
    about = json.loads((tmp_path / "old" / "model_config.json").read_text())
    for one in about["statistics"].values():
        del one["by_dataset"]
    for body in about["bodies"].values():
        del body["datasets"], body["dataset"]
    (tmp_path / "old" / "model_config.json").write_text(json.dumps(about))
    look = Observation(
        image=np.zeros((64, 64, 3), np.uint8),
        raw_state=np.zeros(7, np.float32),
        state=np.zeros(7, np.float32),
        embodiment="arm",
        control_hz=10.0,
    )
    old, new = (ActPolicy.load(folder, dataset="any").act(look, "do r0") for folder in (tmp_path / "old", made.act))
    np.testing.assert_allclose(old, new, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"interval_s": 0.8}, {"past_frames": False}])
def test_plans_are_held_against_the_labels_that_taught_them(
    made: Made, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Also where labels are of another kind than most, and where the data has them no more."""
    act, shards = made.act, made.shards
    if settings:
        corpus = str(shutil.copytree(made.corpus, tmp_path / "corpus"))
        label.run(label.LabelConfig(corpus=corpus, lam=made.lam, name="wide", threads=1, **settings))
        act, shards = tmp_path / "act", str(tmp_path / "shards")
        shard.run(shard.ShardConfig(corpus=corpus, out=shards, latents=["wide"]))
        train_act.run(train_act.TrainActConfig(data=shards, out=act, **ACT))
    reader = ShardReader(shards)
    lam, policy = load_lam(made.lam), ActPolicy.load(act)
    name = "wide" if settings else "lam"
    stride = steps_per_latent(10.0, settings.get("interval_s", lam.config.interval_s))
    for episode in reader.episodes[:4]:
        rows = [r for r in (5, 5 + stride) if r + stride < episode.num_steps]
        if episode.control_hz != 10.0 or not rows:
            continue
        taught = plan._taught(policy, lam, reader, episode, rows)
        np.testing.assert_array_equal(taught, reader.latent(episode.row, name)[1][rows])
        anew = replace(policy, latent={**policy.latent, "name": "gone"})
        np.testing.assert_array_equal(plan._taught(anew, lam, reader, episode, rows), taught)
    drawn = plan.run(plan.PlanConfig(policy=str(act), lam=str(made.lam), data=shards, out=tmp_path / "plans", clips=2))
    assert all(0 <= p.code_agreement <= 1 for p in drawn.plans)
    people = plan.PlanConfig(
        policy=str(act), lam=str(made.lam), data=shards, out=tmp_path / "people", clips=1, datasets=("kitchen",)
    )
    assert plan.run(people).plans[0].dataset == "kitchen"


def test_a_policy_is_its_averaged_weights_whether_exported_or_not(made: Made) -> None:
    newest = sorted((made.act / "checkpoints").iterdir())[-1]
    exported, checkpoint = ActPolicy.load(made.act), ActPolicy.load(newest)
    for one, other in zip(exported.model.parameters(), checkpoint.model.parameters(), strict=True):
        assert np.array_equal(one.detach().numpy(), other.detach().numpy())
    with pytest.raises(DataEngineError, match="holds a Lam, expected a policy"):
        ActPolicy.load(made.lam)
    with pytest.raises(DataEngineError, match="no policy there"):
        ActPolicy.load(made.root)


def test_a_checkpoint_on_the_way_says_how_far_it_is(made: Made) -> None:
    last = sorted((made.act / "checkpoints").iterdir())[-1]
    assert unfinished(made.act) == unfinished(last) == ""
    longer = made.root / "longer"
    shutil.copytree(last, longer / "checkpoints" / last.name)
    settings = longer / "checkpoints" / last.name / "model_config.json"
    about = json.loads(settings.read_text())
    steps = about["training"]["steps"]
    settings.write_text(json.dumps(about | {"training": {"steps": steps + 8}}))
    assert unfinished(settings.parent) == f"step {steps} of {steps + 8}"


def test_the_baseline_without_latents_trains_on_the_same_shards(made: Made) -> None:
    out = made.root / "plain"
    report = train_act.run(train_act.TrainActConfig(data=made.shards, out=out, use_latent=False, **ACT))
    assert report.latent == ""
    assert "latent" not in report.metrics
    with pytest.raises(DataEngineError, match="trained without latent actions"):
        ActPolicy.load(out).plan_batch([], [])


def test_a_policy_trains_alike_from_the_corpus_and_from_shards(made: Made) -> None:
    out = made.root / "from-corpus"
    train_act.run(train_act.TrainActConfig(data=made.corpus, out=out, **ACT))
    assert losses(out) == losses(made.act)


BANNED = """
import sys
sys.modules.update(dict.fromkeys(["ray", "lance"]))  # None: importing them fails
import os, signal
from pathlib import Path
import models.lam, models.act
from pipelines.training.lam import lam as train_lam; from pipelines.training.act import act as train_act
data, out, which, die_at, settings = sys.argv[1:]
pipeline, config, model = {
    "lam": (train_lam, train_lam.TrainLamConfig, models.lam.Lam),
    "act": (train_act, train_act.TrainActConfig, models.act.Act),
}[which]
begin = model.begin_step
def begin_step(self, step, num_steps):
    if step == int(die_at):
        os.kill(os.getpid(), signal.SIGKILL)
    return begin(self, step, num_steps)
model.begin_step = begin_step
import json
pipeline.run(config(data=data, out=Path(out), **json.loads(settings)))
assert "tensorflow" not in sys.modules
"""


@pytest.mark.parametrize("which", [pytest.param("lam", marks=pytest.mark.slow), "act"])
def test_a_killed_training_without_ray_and_lance_continues_to_the_same_losses(
    made: Made, tmp_path: Path, which: str
) -> None:
    settings = json.dumps((LAM if which == "lam" else ACT) | {"checkpoint_every": 2})
    command = [sys.executable, "-c", BANNED, made.shards, str(tmp_path / which), which]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([*command, "5", settings], check=False, capture_output=True, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert [line[0] for line in losses(tmp_path / which)] == [1, 2, 3, 4, 5]
    subprocess.run([*command, "-1", settings], check=True, capture_output=True, env=environment)
    assert losses(tmp_path / which) == losses(made.lam if which == "lam" else made.act)


def test_shards_need_a_place_and_a_dry_run_writes_nothing(made: Made, tmp_path: Path) -> None:
    with pytest.raises(DataEngineError, match="no place for the shards"):
        shard.run(shard.ShardConfig(corpus=made.corpus))
    report = shard.run(shard.ShardConfig(corpus=made.corpus, out=str(tmp_path / "none"), dry_run=True))
    assert report.episodes == 24
    assert report.summary().startswith("would write")
    assert not (tmp_path / "none").exists()


def test_a_mixture_that_names_nothing_known_is_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(DataEngineError, match=r"mixture names dataset 'kitchn'.*did you mean 'kitchen'"):
        train_lam.run(
            train_lam.TrainLamConfig(
                data=made.shards, out=tmp_path, mixture={"weights": {"kitchn": 1.0}}, **(LAM | {"steps": 1})
            )
        )
