import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dataengine.errors import DataEngineError
from dataengine.vector_layout import VectorLayout
from dataengine.windows.normalize import Normalizer, pooled_over_datasets
from dataengine.windows.stats import (
    Accumulator,
    ColumnStatistics,
    EmbodimentStatistics,
    Statistics,
    by_embodiment,
    dumps,
    loads,
)


def make_statistics(q01, q99, grippers=()):
    """Extremes lie 1 beyond the quantiles, but for a constant."""
    q01, q99 = np.array(q01, dtype=np.float64), np.array(q99, dtype=np.float64)
    middle, beyond = (q01 + q99) / 2, q99 > q01
    bounds = {"q01": q01, "q99": q99, "min": q01 - beyond, "max": q99 + beyond}
    return Statistics(count=9, mean=middle, std=q99 - q01, grippers=grippers, **bounds)


def make_normalizer(q01, q99, grippers=()):
    return normalizer_of(make_statistics(q01, q99, grippers))


def normalizer_of(one):
    return Normalizer({"arm": EmbodimentStatistics(state=one, action=one)})


def measured(rows, encoding="eef_pose"):
    """Statistics as `villa stats` makes them of rows (n, d)."""
    accumulator = Accumulator.empty(rows.shape[1])
    accumulator.add(rows)
    kwargs = {"dataset": "made", "embodiment": "arm", "column": "state"}
    layout = VectorLayout.of(encoding, rows.shape[1])
    return by_embodiment([ColumnStatistics(**kwargs, layout=layout, accumulator=accumulator)])["arm"].state


Q01 = [-1.0, 0.5, 100.0, 0.0, -3.0, 2.5, 0.2]
Q99 = [1.0, 0.7, 100.01, 0.0, 3.0, 2.5, 0.4]
NORMALIZER = make_normalizer(Q01, Q99, grippers=(6,))


@settings(deadline=None)
@given(hnp.arrays(np.float64, (5, 7), elements=st.floats(0, 1)), st.sampled_from(["state", "action"]))
def test_normalize_then_invert_is_the_identity_inside_the_quantiles(share, column):
    low, high = np.array([*Q01[:6], 0.0]), np.array([*Q99[:6], 1.0])
    x = (low + share * (high - low)).astype(np.float32)
    y = NORMALIZER.normalize("arm", column, x)
    assert y.dtype == np.float32
    assert np.abs(y).max() <= 1.01
    back = NORMALIZER.invert("arm", column, y)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, x, rtol=3e-7, atol=3e-7)


@settings(deadline=None)
@given(hnp.arrays(np.float32, (3, 2), elements=st.floats(-1, 1, width=32)), st.floats(-50, 50), st.floats(0.01, 9))
def test_invert_then_normalize_is_the_identity_on_minus_one_to_one(y, centre, half):
    normalizer = make_normalizer([centre - half] * 2, [centre + half] * 2)
    back = normalizer.normalize("arm", "action", normalizer.invert("arm", "action", y))
    np.testing.assert_allclose(back, y, atol=1e-6 * (2 + abs(centre) / half))


def test_quantiles_become_minus_one_and_one():
    x = np.array([Q01, Q99], dtype=np.float32)[:, [0, 1, 4]]
    normalizer = make_normalizer(np.array(Q01)[[0, 1, 4]], np.array(Q99)[[0, 1, 4]])
    np.testing.assert_allclose(normalizer.normalize("arm", "action", x), [[-1] * 3, [1] * 3], atol=1e-5)


@pytest.mark.parametrize(("column", "limit"), [("state", 1.5), ("action", 1.0)])
def test_outliers_are_clipped_actions_sooner_than_states(column, limit):
    x = np.array([[50, 50, 500, 0, 50, 2.5, 9], [-50, -50, -500, 0, -50, 2.5, -9]], dtype=np.float32)
    y = NORMALIZER.normalize("arm", column, x)
    np.testing.assert_array_equal(y[:, [0, 1, 2, 4, 6]], [[limit] * 5, [-limit] * 5])


def test_a_gripper_keeps_its_meaning_whatever_its_statistics():
    x = np.zeros((3, 7), dtype=np.float32)
    x[:, 6] = [0, 0.5, 1]
    np.testing.assert_array_equal(NORMALIZER.normalize("arm", "action", x)[:, 6], [-1, 0, 1])
    two = make_normalizer([-1] * 14, [1] * 14, grippers=(6, 13))
    y = two.normalize("arm", "state", np.full(14, 0.25, dtype=np.float32))
    np.testing.assert_allclose(y[[6, 13]], -0.5)
    np.testing.assert_allclose(np.delete(y, [6, 13]), 0.25)


def test_a_constant_dimension_becomes_zero_and_inverts_to_its_constant():
    x = np.full((2, 7), 7.0, dtype=np.float32)
    np.testing.assert_array_equal(NORMALIZER.normalize("arm", "state", x)[:, [3, 5]], 0)
    back = NORMALIZER.invert("arm", "state", np.full((2, 7), 0.9, dtype=np.float32))
    np.testing.assert_array_equal(back[:, [3, 5]], [[0, 2.5]] * 2)
    np.testing.assert_array_equal(NORMALIZER.varies("arm", "state"), [True, True, True, False, True, False, True])


@pytest.mark.parametrize(
    ("encoding", "dim", "grippers"),
    [
        ("eef_pose", 7, (6,)),
        ("eef_delta", 14, (6, 13)),
        ("eef_pose", 4, (3,)),  # x y z gripper
        ("eef_pose", 6, ()),  # no gripper
        ("eef_pose", 3, ()),  # planar
        ("joint_position", 8, (7,)),
        ("joint_position", 7, ()),  # seven joints, no gripper
        ("joint_position", 14, (6, 13)),
        ("joint_velocity", 7, ()),  # a gripper's speed is no opening
        ("none", 0, ()),
    ],
)
def test_which_dimensions_are_grippers_follows_from_the_layout(encoding, dim, grippers):
    assert VectorLayout.of(encoding, dim).grippers == grippers
    if dim:
        rows = np.random.default_rng(0).uniform(0.2, 0.4, (500, dim))
        y = normalizer_of(measured(rows, encoding)).normalize("arm", "state", np.full(dim, 0.4))
        kept = np.isclose(y, -0.2)
        assert tuple(np.flatnonzero(kept)) == grippers


def test_a_gripper_whose_values_are_no_openings_is_normalised_as_any_other_number():
    rows = np.random.default_rng(0).uniform(0, 85, (2000, 7))
    stats = measured(rows)
    assert stats.grippers == ()
    low = normalizer_of(stats).normalize("arm", "action", np.array([0.85] * 7))
    np.testing.assert_allclose(low, -1, atol=0.02)


def test_statistics_from_before_grippers_were_noted_mean_what_they_meant():
    old = {k: v for k, v in make_statistics([-1] * 7, [1] * 7).to_json().items() if k != "grippers"}
    assert Statistics.from_json(old).grippers == (6,)


def test_a_dimension_that_rarely_moves_goes_by_its_extremes():
    rows = np.zeros((10_000, 6), np.float32)
    rows[:20, 0], rows[:20, 1], rows[:, 2] = 0.5, -0.01, 7
    normalizer = normalizer_of(measured(rows))
    np.testing.assert_array_equal(normalizer.varies("arm", "state"), [True, True, False, False, False, False])
    y = normalizer.normalize("arm", "action", rows[[0, 50]])
    np.testing.assert_allclose(y, [[1, -1, 0, 0, 0, 0], [-1, 1, 0, 0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(normalizer.invert("arm", "action", y), rows[[0, 50]], atol=1e-7)


def test_rounding_far_from_zero_is_no_movement():
    rows = np.full((100, 6), 5000.0, np.float32)
    rows[::2] = np.nextafter(rows[::2], np.float32(6000))
    normalizer = normalizer_of(measured(rows))
    assert not normalizer.varies("arm", "state").any()
    np.testing.assert_allclose(normalizer.invert("arm", "state", np.ones(6)), rows[0], rtol=1e-6)


def test_it_works_on_any_leading_axes():
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 4, 7)).astype(np.float32)
    whole = NORMALIZER.normalize("arm", "state", x)
    np.testing.assert_array_equal(whole[1, 2, 3], NORMALIZER.normalize("arm", "state", x[1, 2, 3]))


def test_unknown_bodies_and_widths_are_refused_in_one_line():
    with pytest.raises(DataEngineError, match="no statistics for embodiment 'leg', only for arm"):
        NORMALIZER.normalize("leg", "state", np.zeros(7, dtype=np.float32))
    with pytest.raises(DataEngineError, match="action of embodiment 'arm' has 6 values, its statistics have 7"):
        NORMALIZER.invert("arm", "action", np.zeros(6, dtype=np.float32))


def test_a_dataset_that_drives_a_body_otherwise_keeps_its_numbers_inside_the_clip():
    draw = np.random.default_rng(0)
    slow = draw.uniform(-0.01, 0.01, (9_500, 3)).astype(np.float32)
    fast = draw.uniform(-0.03, 0.03, (500, 3)).astype(np.float32)  # 5 % of the steps, moves three times as long
    groups = []
    for dataset, rows in (("slow", slow), ("fast", fast)):
        seen = Accumulator.empty(3)
        seen.add(rows)
        kwargs = {"dataset": dataset, "embodiment": "arm", "layout": VectorLayout.of("eef_delta", 3)}
        groups += [ColumnStatistics(**kwargs, column=column, accumulator=seen) for column in ("state", "action")]
    stats = by_embodiment(groups)

    def clipped(norm: Normalizer, dataset: str, rows: np.ndarray) -> float:
        return float((np.abs(norm.normalize("arm", "action", rows, dataset)) == 1).mean())

    whole, apart = Normalizer(pooled_over_datasets(stats)), Normalizer(loads(dumps(stats)))
    assert clipped(whole, "fast", fast) > 0.25
    assert clipped(apart, "fast", fast) < 0.03
    assert clipped(apart, "slow", slow) < 0.03
    back = apart.invert("arm", "action", apart.normalize("arm", "action", fast[:9] / 2, "fast"), "fast")
    np.testing.assert_allclose(back, fast[:9] / 2, atol=1e-8)
    # A dataset that nobody knows, and none, go by the body as a whole.
    for dataset in ("other", None):
        np.testing.assert_array_equal(
            apart.normalize("arm", "action", fast, dataset), whole.normalize("arm", "action", fast)
        )


def test_statistics_of_before_normalise_as_they_did():
    one = Statistics.none()
    old = EmbodimentStatistics(state=one, action=one).to_json()
    assert "by_dataset" not in old
    assert EmbodimentStatistics.from_json(old).by_dataset == {}
