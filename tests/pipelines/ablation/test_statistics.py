"""Intervals of rates and of differences."""

import numpy as np
import pytest

from pipelines.ablation.statistics import only_one, paired_difference, rate_over_seeds, stack


def plays(rate: float, seeds: int, starts: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((seeds, starts)) < rate


def test_an_arm_against_itself_differs_by_nothing_and_the_interval_holds_it():
    solved = plays(0.6, 3, 120, 0)
    difference = paired_difference(solved, solved)
    assert difference.value == 0.0
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low <= 0.0 <= difference.high


def test_intervals_hold_the_true_difference_about_as_often_as_they_say():
    hits = 0
    for i in range(60):
        difference = paired_difference(plays(0.7, 3, 120, 2 * i), plays(0.5, 3, 120, 2 * i + 1))
        hits += difference.low <= 0.2 <= difference.high
    assert hits >= 50


def test_pairing_by_start_narrows_the_interval():
    """Where the same starts are hard for both, as they are."""
    hard = np.random.default_rng(0).random(200) < 0.5
    arm, reference = np.stack([hard] * 2), np.stack([hard & (np.arange(200) % 10 > 0)] * 2)
    paired = paired_difference(arm, reference)
    apart = paired_difference(arm, np.random.default_rng(1).permuted(reference, axis=1))
    assert paired.high - paired.low < apart.high - apart.low


def test_seeds_that_differ_make_the_interval_of_the_recipe_wider():
    assert rate_over_seeds(plays(0.5, 1, 50, 0)).low is None
    same, apart = np.array([[1, 1, 0, 0]] * 3, bool), np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
    alike, unlike = rate_over_seeds(same), rate_over_seeds(apart)
    assert alike.value == unlike.value == 0.5
    assert alike.high - alike.low < unlike.high - unlike.low
    # Wilson's interval of twelve plays, 1.96 replaced by Student's 4.3027 of three seeds: 0.5 -+ 0.3897
    assert (alike.low, alike.high) == pytest.approx((0.1103, 0.8897), abs=1e-3)


@pytest.mark.parametrize("solved", [0, 1])
def test_equal_seeds_are_not_sure_of_anything(solved):
    rate = rate_over_seeds(np.full((2, 20), solved, bool))
    assert rate.value == solved
    assert rate.high - rate.low > 0.1
    assert rate.low <= solved <= rate.high


def test_an_interval_of_a_recipe_holds_its_rate_as_often_as_it_says():
    """Where Student's interval of the rates themselves does so 85 times in a hundred."""
    draw = np.random.default_rng(0)
    rates = np.clip(0.97 + 0.1 * draw.standard_normal((300, 3, 1)), 0, 1)
    true = np.clip(0.97 + 0.1 * draw.standard_normal(100_000), 0, 1).mean()
    estimates = [rate_over_seeds(draw.random((3, 60)) < of_seeds) for of_seeds in rates]
    assert sum(each.low <= true <= each.high for each in estimates) >= 0.94 * len(rates)


@pytest.mark.parametrize(("arm", "reference"), [(1, 1), (0, 0), (1, 0), (0, 1)])
def test_a_difference_without_a_single_exception_has_an_interval(arm, reference):
    difference = paired_difference(np.full((2, 20), arm, bool), np.full((2, 20), reference, bool))
    assert difference.value == arm - reference
    assert difference.low <= difference.value <= difference.high
    assert 0.05 < difference.high - difference.low < 0.5


def test_plays_that_one_alone_solves_are_counted_over_seeds_that_both_have():
    arm, reference = np.array([[1, 1, 0], [1, 1, 1]], bool), np.array([[0, 1, 1]], bool)
    assert only_one(arm, reference) == (1, 1)


def test_other_starts_are_no_pairs():
    with pytest.raises(ValueError, match="3 and 4 starts are no pairs"):
        paired_difference(np.ones((1, 3), bool), np.ones((1, 4), bool))


def test_seeds_are_stacked_in_their_order():
    assert stack({1: np.array([True]), 0: np.array([False])}).tolist() == [[False], [True]]
