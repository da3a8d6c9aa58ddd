"""What pairs tell: how often it errs, how many it takes, and that the order of tasks has no say."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

from pipelines.evaluation.compare.pairs import planned
from pipelines.evaluation.compare.statistics import Pairs, Sequential, any_time_interval, holm, mcnemar, newcombe

Draw = Callable[[np.random.Generator], tuple[bool, bool]]


def independent(a: float, b: float) -> Draw:
    return lambda rng: (bool(rng.random() < a), bool(rng.random() < b))


def alike(a: float, b: float, shared: float) -> Draw:
    """Both succeed at the same starts for a share of them."""

    def draw(rng: np.random.Generator) -> tuple[bool, bool]:
        u, v = rng.random(2)
        return bool(u < a), bool((u if rng.random() < shared else v) < b)

    return draw


def study(draw: Draw, seed: int, budget: int = 200, **settings) -> Sequential:
    rng, sequential = np.random.default_rng(seed), Sequential(0.05, **settings)
    while not sequential.verdict and sequential.pairs.num < budget:
        a, b = draw(rng)
        sequential.add(a=a, b=b)
    return sequential


@pytest.mark.parametrize("draw", [independent(0.6, 0.6), alike(0.8, 0.8, 0.5), independent(0.05, 0.05)])
def test_equal_policies_are_called_different_no_more_often_than_the_level_says(draw: Draw) -> None:
    assert sum(bool(study(draw, seed).verdict) for seed in range(200)) <= 0.05 * 200


def test_a_planted_difference_is_found_long_before_the_budget_is_used_up() -> None:
    studies = [study(alike(0.6, 0.8, 0.3), seed) for seed in range(100)]
    assert sum(one.verdict == "B" for one in studies) >= 95
    assert np.mean([one.pairs.num for one in studies]) < 100
    assert not any(one.verdict == "A" for one in studies)


def test_policies_that_nearly_agree_are_called_equal_within_what_was_asked_for_and_never_without() -> None:
    draw = alike(0.6, 0.6, 0.97)
    assert {study(draw, seed, budget=1000, min_difference=0.1).verdict for seed in range(5)} == {"equal"}
    assert {study(draw, seed, budget=300).verdict for seed in range(5)} == {""}


def test_the_interval_holds_at_the_time_of_the_verdict() -> None:
    covered = []
    for seed in range(100):
        low, high = study(independent(0.6, 0.8), seed).interval
        covered.append(low <= 0.2 <= high)
    assert np.mean(covered) >= 0.95


def opposite_effects(order: list[str], seed: int) -> Sequential:
    """On one task B is better, on the other A is; on average they are equal."""
    rng, sequential = np.random.default_rng(seed), Sequential(0.05)
    for task in order:
        a, b = independent(*((0.3, 0.7) if task == "first" else (0.7, 0.3)))(rng)
        sequential.add(a=a, b=b)
        if sequential.verdict:
            break
    return sequential


def test_shuffled_starts_do_not_take_the_first_tasks_difference_for_all_of_them() -> None:
    budget, studies = 200, range(100)
    one_by_one = ["first"] * (budget // 2) + ["second"] * (budget // 2)
    assert np.mean([bool(opposite_effects(one_by_one, seed).verdict) for seed in studies]) > 0.9
    shuffled = [[start.task for start in planned(["first", "second"], budget, 0, seed)] for seed in studies]
    assert (
        np.mean([bool(opposite_effects(order, seed).verdict) for order, seed in zip(shuffled, studies, strict=True)])
        <= 0.05
    )


def test_the_order_is_the_same_however_tasks_are_named() -> None:
    order = planned(["push", "open", "close"], 100, 0, 3)
    assert order == planned(["close", "push", "open"], 100, 0, 3)
    assert order != planned(["close", "push", "open"], 100, 0, 4)
    assert len(set(order)) == 100
    counts = {task: sum(start.task == task for start in order) for task in ("push", "open", "close")}
    assert sorted(counts.values()) == [33, 33, 34]


def test_newcombes_interval_is_the_published_one() -> None:
    # Newcombe 1998, Statistics in Medicine 17, 2635: table III, 36 12 2 0.
    assert newcombe(Pairs(both=36, a_alone=2, b_alone=12, neither=0)) == pytest.approx((0.0569, 0.3404), abs=1e-4)
    low, high = newcombe(Pairs(both=20))
    assert low < 0 < high, "twenty successes each do not prove equality"


def test_mcnemars_test_is_the_exact_one() -> None:
    assert mcnemar(Pairs(both=30, a_alone=2, b_alone=12)) == pytest.approx(binomtest(2, 14).pvalue)
    assert mcnemar(Pairs(both=30)) == 1.0


def test_p_values_are_adjusted_for_their_number() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_several_policies_need_more_evidence_each() -> None:
    counts = [study(independent(0.5, 0.9), 1, family=family).pairs.num for family in (1, 5)]
    assert counts[0] < counts[1]


def test_no_pairs_bound_nothing() -> None:
    assert any_time_interval(Pairs(), 0.05) == (-1.0, 1.0)
    assert newcombe(Pairs()) == (-1.0, 1.0)
