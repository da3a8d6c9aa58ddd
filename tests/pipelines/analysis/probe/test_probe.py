import dataclasses

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.vector_layout import VectorLayout
from dataengine.windows import stats, stats_table
from dataengine.windows.episode_info import is_held_out
from dataengine.windows.normalize import Normalizer
from pipelines.analysis.pairs import PairMotion, choose, read_numbers, robots
from pipelines.analysis.probe.measures import NUM_BINS, score
from pipelines.analysis.probe.probe import ProbeConfig, _notes, run
from pipelines.analysis.probe.variants import MEDIAN, TRUE_CHANGE
from pipelines.label import LabelConfig
from pipelines.label import run as run_label
from pipelines.stats import StatsConfig
from pipelines.stats import run as run_stats
from tests.support.corpora import human_clip, make_corpus, robot_episode
from tests.support.labels import write_labels
from tests.support.lams import make_lam

QUICK = {"epochs": 8, "hidden": 64, "seeds": 2, "val_fraction": 0.25}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Two arms of different rate and a hand; labels `knows` hold the motion, `noise` nothing."""
    root = tmp_path_factory.mktemp("probe")
    parts = {
        "a": [robot_episode(f"a{i}", num_steps=24) for i in range(24)],
        "b": [robot_episode(f"b{i}", embodiment="arm2", control_hz=5.0, num_steps=20) for i in range(20)],
        "h": [human_clip("wave")],
    }
    corpus = make_corpus(root / "corpus", parts)
    run_stats(StatsConfig(corpus=corpus.uri))
    write_labels(corpus, "knows", knows=True)
    write_labels(corpus, "noise", knows=False)
    jpegs = corpus.jpegs("primary", [(corpus.episode_ids()[0], i) for i in range(20)])
    make_lam(root / "lam", jpegs, interval_s=0.4)
    return root, corpus


def readout(report, embodiment, source):
    one = next(e for e in report.embodiments if e.embodiment == embodiment)
    return next(r for r in one.readouts if r.source == source)


def test_latents_that_hold_the_motion_read_better_than_noise(lab):
    _, corpus = lab
    report = run(ProbeConfig(corpus=corpus.uri, lams=["noise", "knows"], **QUICK | {"epochs": 30}))
    assert [(e.embodiment, e.steps) for e in report.embodiments] == [("arm", 4), ("arm2", 2)]
    for arm in ("arm", "arm2"):
        median, knows = readout(report, arm, MEDIAN), readout(report, arm, "knows")
        assert knows.groups["xyz"] < 0.7 * readout(report, arm, "noise").groups["xyz"]
        assert readout(report, arm, "noise").groups["xyz"] > 0.9 * median.groups["xyz"]
        assert readout(report, arm, TRUE_CHANGE).groups["xyz"] < 0.7 * median.groups["xyz"]
        assert len(set(knows.l1_seeds)) == 2
        assert sum(knows.histogram) == pytest.approx(1, abs=1e-3)
        assert len(knows.histogram) == NUM_BINS + 1
        assert "rpy" not in knows.groups  # these arms never turn
    assert [(c.lam, c.versus, c.embodiment) for c in report.comparisons] == [
        ("knows", "noise", "arm"),
        ("knows", "noise", "arm2"),
        ("knows", "noise", "mean"),
    ]
    assert all(c.change < 0 and max(c.change_seeds) < 0 for c in report.comparisons)
    assert "knows against noise, mean" in report.summary()


def test_the_same_call_gives_the_same_numbers(lab):
    _, corpus = lab
    one, again = (run(ProbeConfig(corpus=corpus.uri, lams=["knows"], **QUICK)) for _ in range(2))
    assert one.embodiments == again.embodiments


def test_a_directory_reads_as_its_labels_do(lab):
    root, corpus = lab
    unlabelled = run(ProbeConfig(corpus=corpus.uri, lams=[root / "lam"], **QUICK))
    run_label(LabelConfig(corpus=corpus.uri, lam=root / "lam", name="mine"))
    by_name = run(ProbeConfig(corpus=corpus.uri, lams=["mine"], **QUICK))
    labelled = run(ProbeConfig(corpus=corpus.uri, lams=[root / "lam"], **QUICK))
    for arm in ("arm", "arm2"):
        assert readout(unlabelled, arm, "lam").l1_seeds == readout(by_name, arm, "mine").l1_seeds
        assert readout(labelled, arm, "lam").l1_seeds == readout(by_name, arm, "mine").l1_seeds


def test_whole_episodes_are_on_one_side_by_the_rule_of_training(lab):
    _, corpus = lab
    episodes = robots(Corpus.open(corpus.uri)).episodes(trimmed=False)
    assert len(episodes) == 44
    pairs = choose(episodes, 0.4, held_out=0.25, most_train=10_000, most_held_out=10_000)
    for split in pairs:
        assert not any(is_held_out(e, 0.25) for e in split.train.episodes)
        assert all(is_held_out(e, 0.25) for e in split.test.episodes)
        assert split.borrowed == 0
        for picks in (split.train, split.test):
            assert len(picks.row) == sum(e.num_steps - picks.stride for e in picks.episodes)
            assert all(rows.max() + picks.stride < e.num_steps for e, rows in picks.by_episode())


def test_a_robot_without_the_camera_is_left_to_those_that_have_it(tmp_path):
    seen = [robot_episode(str(i)) for i in range(12)]
    blind = [robot_episode(f"b{i}", embodiment="arm2") for i in range(6)]
    frames = {e.source_record: e.cameras["primary"] for e in blind}
    blind = [dataclasses.replace(e, cameras={"wrist": frames[e.source_record]}) for e in blind]
    corpus = make_corpus(tmp_path / "corpus", {"a": seen, "b": blind})
    run_stats(StatsConfig(corpus=corpus.uri))
    make_lam(tmp_path / "lam", seen[0].cameras["primary"].jpegs, interval_s=0.4)
    report = run(ProbeConfig(corpus=corpus.uri, lams=[tmp_path / "lam"], **QUICK))
    assert [e.embodiment for e in report.embodiments] == ["arm"]
    assert "6 kept robot episodes without camera 'primary' are left out" in report.notes


def test_fewer_pairs_are_spread_over_all_episodes(lab):
    _, corpus = lab
    episodes = robots(Corpus.open(corpus.uri)).episodes(trimmed=False)
    train = choose(episodes, 0.4, held_out=0.25, most_train=60, most_held_out=5)[0].train
    assert len(train.row) == 60
    assert {e.episode_id for e, _ in train.by_episode()} == {e.episode_id for e in train.episodes}


def test_targets_are_the_normalised_actions_between_the_frames(lab):
    _, corpus = lab
    corpus = Corpus.open(corpus.uri)
    normalizer = Normalizer(stats.by_embodiment(stats_table.from_table(corpus.stats())))
    train = choose(robots(corpus).episodes(trimmed=False), 0.4, held_out=0.25, most_train=7, most_held_out=5)[0].train
    numbers = read_numbers(corpus, train, normalizer)
    assert numbers.action_dims.tolist() == [0, 1, 6]
    episode = corpus.episode(train.episodes[train.episode[3]].episode_id)
    row = train.row[3]
    expected = normalizer.normalize("arm", "action", episode.action[row : row + 4])[:, [0, 1, 6]]
    np.testing.assert_array_equal(numbers.actions[3], expected)
    assert numbers.actions.shape == (7, 4, 3)


def test_errors_are_summed_up_by_seed_group_and_size():
    errors = np.zeros((4, 2, 7), np.float32)
    errors[0, 1, 0], errors[1, 0, 6], errors[2, 0, 3] = 0.7, -0.32, 1.9
    numbers = PairMotion(
        actions=errors,
        state_change=errors[:, 0],
        action_dims=np.array([0, 1, 2, 3, 4, 5, 6]),
        groups=VectorLayout.of("eef_delta", 7).groups,
    )
    scores = score("x", [[errors, errors / 2]], numbers)
    total = 0.7 + 0.32 + 1.9
    assert scores.l1_seeds == pytest.approx([total / 56, total / 112], abs=1e-5)
    assert scores.l1_spread == pytest.approx(total / 224, abs=1e-5)
    assert scores.groups["xyz"] == pytest.approx(0.7 * 0.75 / 24, abs=1e-5)
    assert scores.groups["gripper"] == pytest.approx(0.32 * 0.75 / 8, abs=1e-5)
    assert scores.small_errors == pytest.approx(5 / 8)  # beyond 0.5: 0.7 and 1.9, and half of 1.9
    bins = {i: share for i, share in enumerate(scores.histogram) if share}
    assert bins == {0: 2 / 8, 3: 1 / 8, 6: 1 / 8, 7: 1 / 8, 14: 1 / 8, 19: 1 / 8, 20: 1 / 8}


def test_a_second_arm_belongs_to_the_same_groups():
    errors = np.zeros((3, 1, 14), np.float32)
    errors[..., 7:10] = 0.5
    assert score("x", [[errors]], numbers_of(errors, "eef_delta")).groups == {"xyz": 0.25, "rpy": 0.0, "gripper": 0.0}


def numbers_of(errors, encoding):
    dims = errors.shape[-1]
    groups = VectorLayout.of(encoding, dims).groups
    return PairMotion(actions=errors, state_change=errors[:, 0], action_dims=np.arange(dims), groups=groups)


def test_joints_are_a_group_of_their_own_and_seven_of_them_have_no_gripper():
    errors = np.zeros((3, 1, 14), np.float32)
    errors[..., 6], errors[..., 13] = 0.5, 0.5
    aloha = score("x", [[errors]], numbers_of(errors, "joint_position"))
    assert aloha.groups == {"joints": 0.0, "gripper": 0.5}
    seven = score("x", [[errors[..., :7]]], numbers_of(errors[..., :7], "joint_position"))
    assert seven.groups == {"joints": pytest.approx(0.5 / 7, abs=1e-5)}


@pytest.mark.parametrize(
    ("lams", "message"),
    [
        (["nobody"], "'nobody' is neither a directory with model_config.json nor labels of"),
        (["knows", "slow"], "models of different frame spacing do not compare"),
    ],
)
def test_what_cannot_be_probed_is_refused_in_one_line(lab, lams, message):
    _, corpus = lab
    if "slow" in lams:
        write_labels(corpus, "slow", knows=True, interval_s=0.6)
    with pytest.raises(DataEngineError, match=message) as caught:
        run(ProbeConfig(corpus=corpus.uri, lams=lams, **QUICK))
    assert "\n" not in str(caught.value)


def test_statistics_are_needed_first(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode(str(i)) for i in range(6)]})
    write_labels(corpus, "knows", knows=True)
    with pytest.raises(DataEngineError, match="run `villa stats"):
        run(ProbeConfig(corpus=corpus.uri, lams=["knows"], **QUICK))


def test_without_episodes_on_both_sides_there_is_nothing_to_probe(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")]})
    run_stats(StatsConfig(corpus=corpus.uri))
    write_labels(corpus, "knows", knows=True)
    with pytest.raises(DataEngineError, match="nothing to probe on"):
        run(ProbeConfig(corpus=corpus.uri, lams=["knows"], **QUICK))


def test_where_no_episode_is_held_out_some_are_kept_from_the_probe_and_it_says_so(lab):
    _, corpus = lab
    seen = [
        e
        for e in robots(Corpus.open(corpus.uri)).episodes(trimmed=False)
        if e.embodiment == "arm" and not is_held_out(e, 0.1)
    ]
    (split,) = choose(seen, 0.4, held_out=0.1, most_train=999, most_held_out=999)
    assert split.borrowed == len(split.test.episodes) == 2
    assert not {e.episode_id for e in split.train.episodes} & {e.episode_id for e in split.test.episodes}
    (note,) = _notes(split)
    assert "no episode is held out from training, so 2 were kept" in note


def test_pairs_with_a_broken_picture_are_left_out_for_every_model(tmp_path):
    episodes = [robot_episode(str(i)) for i in range(12)]
    frames = episodes[0].cameras["primary"]
    torn = dataclasses.replace(frames, jpegs=[j[:-30] if i == 10 else j for i, j in enumerate(frames.jpegs)])
    parts = {"a": [dataclasses.replace(episodes[0], cameras={"primary": torn}), *episodes[1:]]}
    whole, broken = (make_corpus(tmp_path / n, p) for n, p in (("whole", {"a": episodes}), ("broken", parts)))
    counts = []
    for corpus in (whole, broken):
        run_stats(StatsConfig(corpus=corpus.uri))
        write_labels(corpus, "knows", knows=True)
        make_lam(tmp_path / "lam", frames.jpegs, interval_s=0.4)
        report = run(ProbeConfig(corpus=corpus.uri, lams=["knows", tmp_path / "lam"], **QUICK, most_train=9999))
        counts.append(sum(e.train_pairs + e.held_out_pairs for e in report.embodiments))
    assert counts[0] - counts[1] == 3
