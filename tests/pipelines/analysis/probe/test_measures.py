"""Intervals and comparisons of a probe, on errors made in sight."""

import numpy as np
import pytest
from scipy import stats

from dataengine.vector_layout import VectorLayout
from pipelines.analysis.pairs import PairMotion
from pipelines.analysis.probe.measures import compare, mean_of, score, t_interval
from pipelines.analysis.probe.report import EmbodimentReadouts, named


def numbers(dims=7):
    nothing, groups = np.zeros((1, 1, dims), np.float32), VectorLayout.of("eef_delta", dims).groups
    return PairMotion(actions=nothing, state_change=nothing[0], action_dims=np.arange(dims), groups=groups)


def constant(size, dims=7):
    """Errors of 4 pairs at 2 steps, all of one size, whose signs alternate."""
    return np.resize(np.array([size, -size], np.float32), (4, 2, dims))


def body(name, arms, *, steps=2):
    """Readouts on one embodiment, of arms {title: errors by model and probe}."""
    readouts = [score(title, errors, numbers(), ["?"] * len(errors)) for title, errors in arms.items()]
    counts = dict.fromkeys(("train_episodes", "held_out_episodes", "train_pairs", "held_out_pairs"), 1)
    return EmbodimentReadouts(embodiment=name, datasets=["made"], steps=steps, dims=7, readouts=readouts, **counts)


@pytest.mark.parametrize("values", [[0.3, 0.5], [0.31, 0.29, 0.36], [1.0, 2.0, 4.0, 8.0, 16.0]])
def test_an_interval_is_students_t_as_scipy_has_it(values):
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert t_interval(values) == pytest.approx(expected, abs=1e-5)


def test_the_interval_of_two_seeds_is_that_of_a_cauchy_distribution():
    # with one degree of freedom the quantile is tan(pi (p - 1/2)) and the standard error half the distance
    half = np.tan(np.pi * 0.475) * 0.1
    assert t_interval([0.4, 0.6]) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)


def test_a_single_seed_has_no_interval():
    assert t_interval([0.4]) is None
    assert score("x", [[constant(0.2)]], numbers()).l1_interval is None


def test_alike_seeds_leave_no_doubt():
    assert t_interval([0.25, 0.25, 0.25]) == (0.25, 0.25)


def test_intervals_cover_the_mean_as_often_as_they_say():
    draws = np.random.default_rng(0).normal(0.3, 0.05, (2000, 3))
    covered = np.mean([low <= 0.3 <= high for low, high in map(t_interval, draws)])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_with_several_models_seeds_are_models_each_the_mean_of_its_probes():
    scores = score("arm", [[constant(0.1), constant(0.3)], [constant(0.4), constant(0.6)]], numbers(), ["a", "b"])
    assert scores.over == "training seeds"
    assert scores.models == ["a", "b"]
    assert scores.l1_seeds == pytest.approx([0.2, 0.5])
    assert scores.l1 == pytest.approx(0.35)
    assert scores.l1_interval == t_interval([0.2, 0.5])
    assert scores.group_seeds == {"xyz": [0.2, 0.5], "rpy": [0.2, 0.5], "gripper": [0.2, 0.5]}
    assert scores.small_errors_seeds == [1.0, 0.5]


def test_with_one_model_seeds_are_its_probes():
    scores = score("lam", [[constant(0.1), constant(0.3)]], numbers(), ["a"])
    assert scores.over == "probe seeds"
    assert scores.l1_seeds == pytest.approx([0.1, 0.3])


def test_arms_are_compared_in_pairs_of_seeds_and_bodies_weigh_the_same():
    bodies = [
        body("one", {"old": [[constant(0.4)], [constant(0.8)]], "new": [[constant(0.3)], [constant(0.88)]]}),
        body("two", {"old": [[constant(0.2)], [constant(0.2)]], "new": [[constant(0.1)], [constant(0.1)]]}),
    ]
    one, two, mean = compare(bodies, "new", "old")
    assert [c.embodiment for c in (one, two, mean)] == ["one", "two", "mean"]
    assert one.change_seeds == pytest.approx([-0.25, 0.1])
    assert one.change == pytest.approx(-0.075)
    assert one.lower == 1
    assert one.interval == pytest.approx(t_interval([-0.25, 0.1]), abs=1e-4)
    assert (two.change, two.lower, two.interval) == (-0.5, 2, (-0.5, -0.5))
    assert mean.change_seeds == pytest.approx([(0.3 + 0.1) / (0.4 + 0.2) - 1, (0.88 + 0.1) / (0.8 + 0.2) - 1], abs=1e-4)
    assert mean.lower == 2
    assert mean.group_seeds["gripper"] == mean.change_seeds
    assert "lower in 1 of 2 training seeds (-25.0%, +10.0%)" in one.as_text


def test_a_change_of_an_error_that_is_printed_as_nothing_is_left_out():
    """A gripper that never moves is read without error by every arm: 0.000 against 0.000 is no gain of 100 %."""

    def errors(size, gripper):
        error = constant(size)
        error[..., 6] = gripper
        return [[error]]

    (change,) = compare([body("one", {"old": errors(0.4, 0.0001), "new": errors(0.3, 0.0)})], "new", "old")
    assert set(change.groups) == set(change.group_seeds) == set(change.group_intervals) == {"xyz", "rpy"}
    assert "gripper" not in change.as_text
    (change,) = compare([body("one", {"old": errors(0.4, 0.001), "new": errors(0.3, 0.0)})], "new", "old")
    assert change.groups["gripper"] == -1


def test_pairs_that_pass_from_bin_to_bin_sum_to_nothing():
    (change,) = compare([body("one", {"old": [[constant(0.42)]], "new": [[constant(0.12)]]})], "new", "old")
    assert {i: x for i, x in enumerate(change.histogram) if x} == {2: 1.0, 8: -1.0}


def test_the_mean_over_bodies_has_only_groups_that_all_have():
    whole, flat = (body("one", {"x": [[constant(0.2)]]}).readouts[0] for _ in range(2))
    flat = flat.model_copy(update={"groups": {"xyz": 0.4}, "group_seeds": {"xyz": [0.4]}})
    assert mean_of([whole, flat]).groups == {"xyz": 0.3}


def test_a_body_at_two_rates_has_two_names():
    bodies = [body("arm", {"x": [[constant(0.2)]]}, steps=steps) for steps in (2, 4)]
    assert named([*bodies, body("other", {"x": [[constant(0.2)]]})]) == ["arm, K = 2", "arm, K = 4", "other"]
