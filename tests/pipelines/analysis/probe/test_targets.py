"""What a probe reads in the paper's form: position, quaternion, gripper of one action."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dataengine.store import Corpus
from dataengine.vector_layout import VectorLayout
from dataengine.windows import stats, stats_table
from dataengine.windows.normalize import Normalizer
from pipelines.analysis.pairs import choose, read_numbers, robots
from pipelines.analysis.probe.probe import ProbeConfig, run
from pipelines.analysis.probe.targets import quaternion_actions, quaternion_groups
from pipelines.stats import StatsConfig
from pipelines.stats import run as run_stats
from tests.support.corpora import make_corpus, robot_episode
from tests.support.labels import write_labels

RANDOM = np.random.default_rng(0)


def test_an_action_is_its_position_its_quaternion_and_its_gripper() -> None:
    layout = VectorLayout.of("eef_delta", 7)
    action = RANDOM.uniform(-0.5, 0.5, (20, 7))
    scaled = action.astype(np.float32) * 2
    made = quaternion_actions(action, scaled, layout)
    assert made.shape == (20, 8)
    assert made[:, :3] == pytest.approx(scaled[:, :3])
    assert made[:, 3:7] == pytest.approx(Rotation.from_euler("xyz", action[:, 3:6]).as_quat(), abs=1e-6)
    assert made[:, 7] == pytest.approx(scaled[:, 6])
    assert quaternion_groups(layout) == {"xyz": (0, 1, 2), "quaternion": (3, 4, 5, 6), "gripper": (7,)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("probe")
    hands = [robot_episode(f"a{i}", num_steps=16) for i in range(16)]
    joints = [
        dataclasses.replace(robot_episode(f"b{i}", embodiment="arm2"), action_encoding="joint_delta") for i in range(8)
    ]
    made = make_corpus(root / "corpus", {"a": hands, "b": joints})
    run_stats(StatsConfig(corpus=made.uri))
    write_labels(made, "clear", knows=True, seed=0)
    return made


def test_one_action_of_a_pair_is_read(corpus) -> None:
    opened = Corpus.open(corpus.uri)
    normalizer = Normalizer(stats.by_embodiment(stats_table.from_table(opened.stats())))
    picks = choose(robots(opened).episodes(trimmed=False), 0.4, held_out=0.25, most_train=7, most_held_out=5)[0].train
    form = (quaternion_actions, quaternion_groups)
    one = read_numbers(opened, picks, normalizer, num_actions=1, form=form)
    every = read_numbers(opened, picks, normalizer, form=form)
    assert one.actions.shape == (7, 1, 8)
    assert every.actions.shape == (7, picks.stride, 8)
    assert one.actions == pytest.approx(every.actions[:, :1])


def test_eight_values_are_read_and_who_has_no_hand_is_left_out_by_name(corpus) -> None:
    quick = {"epochs": 2, "hidden": 16, "val_fraction": 0.25, "most_train": 60}
    report = run(ProbeConfig(corpus=corpus.uri, lams=["clear"], rotation="quaternion", num_actions=1, **quick))
    (one,) = report.embodiments
    assert (one.embodiment, one.dims) == ("arm", 8)
    assert set(one.readouts[0].groups) == {"xyz", "quaternion", "gripper"}
    assert any("arm2 left out: its actions tell no position" in note for note in report.notes)
