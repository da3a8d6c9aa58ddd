import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dataengine.errors import DataEngineError
from dataengine.normalize import Normalizer
from dataengine.stats import EmbodimentStatistics, Statistics


def make_statistics(q01, q99):
    q01, q99 = np.array(q01, dtype=np.float64), np.array(q99, dtype=np.float64)
    middle = (q01 + q99) / 2
    return Statistics(count=9, mean=middle, std=q99 - q01, min=q01 - 1, max=q99 + 1, q01=q01, q99=q99)


def make_normalizer(q01, q99):
    one = make_statistics(q01, q99)
    return Normalizer({"arm": EmbodimentStatistics(state=one, action=one)})


Q01 = [-1.0, 0.5, 100.0, 0.0, -3.0, 2.5, 0.2]
Q99 = [1.0, 0.7, 100.01, 0.0, 3.0, 2.5, 0.4]
NORMALIZER = make_normalizer(Q01, Q99)


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
    two = make_normalizer([-1] * 14, [1] * 14)
    y = two.normalize("arm", "state", np.full(14, 0.25, dtype=np.float32))
    np.testing.assert_allclose(y[[6, 13]], -0.5)
    np.testing.assert_allclose(np.delete(y, [6, 13]), 0.25)


def test_a_constant_dimension_becomes_zero_and_inverts_to_its_constant():
    x = np.full((2, 7), 7.0, dtype=np.float32)
    np.testing.assert_array_equal(NORMALIZER.normalize("arm", "state", x)[:, [3, 5]], 0)
    back = NORMALIZER.invert("arm", "state", np.full((2, 7), 0.9, dtype=np.float32))
    np.testing.assert_array_equal(back[:, [3, 5]], [[0, 2.5]] * 2)
    np.testing.assert_array_equal(NORMALIZER.varies("arm", "state"), [True, True, True, False, True, False, True])


def test_it_works_on_any_leading_axes():
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 4, 7)).astype(np.float32)
    whole = NORMALIZER.normalize("arm", "state", x)
    np.testing.assert_array_equal(whole[1, 2, 3], NORMALIZER.normalize("arm", "state", x[1, 2, 3]))


def test_unknown_bodies_and_widths_are_refused_in_one_line():
    with pytest.raises(DataEngineError, match="no statistics for embodiment 'leg', only for arm"):
        NORMALIZER.normalize("leg", "state", np.zeros(7, dtype=np.float32))
    with pytest.raises(DataEngineError, match="action of embodiment 'arm' has 6 values, its statistics have 7"):
        NORMALIZER.invert("arm", "action", np.zeros(6, dtype=np.float32))
