import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataengine.errors import DataEngineError
from dataengine.vector_layout import VectorLayout
from dataengine.windows import stats, stats_table
from dataengine.windows.quantile_sketch import QuantileSketch
from dataengine.windows.stats import Accumulator, ColumnStatistics, Statistics

N = 60_000
QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.99, 1.0)


def accumulate(rows, chunk=10_000):
    done = Accumulator.empty(rows.shape[1])
    for start in range(0, len(rows), chunk):
        done.add(rows[start : start + chunk])
    return done


def rank_error(data, value, q):
    """How far the share of data below (or at) a value is from q; 0 when q lies inside the value's ties."""
    below, upto = np.mean(data < value), np.mean(data <= value)
    return max(below - q, q - upto, 0.0)


def streams():
    draw = np.random.default_rng(0)
    zigzag = np.arange(N) % 2 * N + np.arange(N)
    yield "constant", np.full(N, 3.25)
    yield "zeros with one in a thousand", (np.arange(N) % 1000 == 0).astype(float)
    yield "binary", draw.integers(0, 2, N).astype(float)
    yield "few levels", draw.integers(-3, 4, N) / 7
    yield "sorted", np.arange(N) / N
    yield "reversed", -np.arange(N) / N
    yield "zigzag", zigzag.astype(float)
    yield "normal", draw.normal(size=N)
    yield "heavy tails", draw.standard_cauchy(N)
    yield "a cluster far from zero", 1000 + draw.normal(size=N) * 0.01
    yield "blocks of chunks", np.repeat(draw.normal(size=N // 100), 100)


@pytest.mark.parametrize(("name", "data"), list(streams()), ids=lambda x: x if isinstance(x, str) else "")
@pytest.mark.parametrize("chunk", [333, 30_000])
def test_every_quantile_lies_within_the_certified_rank_error(name, data, chunk):
    data = data.astype(np.float32)
    sketch = accumulate(data[:, None], chunk).sketch
    assert sketch.count == N
    assert sketch.rank_error <= np.log2(N / sketch.size) / sketch.size
    for q in QUANTILES:
        # A neighbour's half weight on top: interpolation may land between two ranks.
        assert rank_error(data, np.float32(sketch.quantile(q)[0]), q) <= sketch.rank_error + 1 / N, (name, q)


def test_rank_errors_stay_far_below_the_bound_on_random_data():
    data = np.random.default_rng(1).normal(size=(1_000_000, 3)).astype(np.float32)
    sketch = accumulate(data, 4096).sketch
    worst = max(rank_error(data[:, j], sketch.quantile(q)[j], q) for j in range(3) for q in (0.01, 0.5, 0.99))
    assert worst < 3e-4
    assert sum(len(level) for level in sketch.levels) < sketch.size * len(sketch.levels)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200), st.floats(0, 1))
def test_small_data_has_the_quantiles_of_numpy(values, q):
    data = np.array(values, dtype=np.float32)
    sketch = QuantileSketch(dim=1)
    sketch.add(data[:, None])
    assert sketch.rank_error == 0
    expected = np.quantile(data.astype(np.float64), q)
    assert sketch.quantile(q)[0] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_moments_are_those_of_numpy_even_far_from_zero():
    data = (5000 + np.random.default_rng(2).normal(size=(N, 2)) * [0.01, 10]).astype(np.float32)
    done = accumulate(data, 777).statistics()
    np.testing.assert_allclose(done.mean, data.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(done.std, data.astype(np.float64).std(axis=0), rtol=1e-7)
    np.testing.assert_array_equal(done.min, data.min(axis=0))
    np.testing.assert_array_equal(done.max, data.max(axis=0))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_merged_groups_are_one_group(sizes, shuffle):
    draw = np.random.default_rng(3)
    parts = [draw.normal(size=(n, 2)).astype(np.float32) for n in sizes]
    whole = accumulate(np.concatenate(parts), 5000)
    shuffle.shuffle(parts)
    merged = Accumulator.empty(2)
    for part in parts:
        merged.merge(accumulate(part, 700))
    assert (merged.count, merged.sketch.count) == (whole.count, whole.count)
    if whole.count == 0:
        return
    a, b = merged.statistics(), whole.statistics()
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-12)
    np.testing.assert_allclose(a.std, b.std, atol=1e-12)
    np.testing.assert_array_equal([a.min, a.max], [b.min, b.max])
    data = np.concatenate(parts)
    for j in range(2):
        assert rank_error(data[:, j], np.float32(a.q99[j]), 0.99) <= merged.sketch.rank_error + 1 / whole.count


def test_steps_that_are_not_finite_are_counted_and_left_out():
    rows = np.array([[1, 2], [np.nan, 3], [5, np.inf], [3, 4]], dtype=np.float32)
    done = accumulate(rows)
    assert (done.count, done.num_not_finite) == (2, 2)
    np.testing.assert_array_equal(done.statistics().mean, [2, 3])


def group(dataset, rows, column="state", embodiment="arm", encoding="eef_pose", **more):
    layout = VectorLayout.of(encoding, rows.shape[1], **more)
    return ColumnStatistics(
        dataset=dataset, embodiment=embodiment, column=column, layout=layout, accumulator=accumulate(rows)
    )


def test_a_table_of_groups_merges_on_as_if_it_had_never_been_written():
    draw = np.random.default_rng(4)
    groups = [group(name, draw.normal(size=(9000, 7)).astype(np.float32)) for name in ("one", "two")]
    table = stats_table.to_table(groups)
    again = list(stats_table.from_table(table))
    assert stats_table.to_table(again).equals(table)
    before, after = stats.by_embodiment(groups)["arm"], stats.by_embodiment(again)["arm"]
    assert before.to_json() == after.to_json()
    assert after.state.count == 18_000
    assert after.datasets == ("one", "two")
    assert after.action.dim == 0


def test_statistics_survive_json_exactly():
    done = {"arm": stats.by_embodiment([group("one", np.random.default_rng(5).normal(size=(99, 7)))])["arm"]}
    again = stats.loads(stats.dumps(done))
    assert json.loads(stats.dumps(again)) == json.loads(stats.dumps(done))
    np.testing.assert_array_equal(again["arm"].state.q01, done["arm"].state.q01)
    assert Statistics.from_json(Statistics.none().to_json()).dim == 0


@pytest.mark.parametrize(
    ("encodings", "moves"),
    [
        (["eef_pose"], ()),
        (["eef_delta"], (0, 1, 2, 3, 4, 5)),
        (["joint_velocity"], (0, 1, 2, 3, 4, 5)),
        (["mixed"], None),
        (["eef_delta", "eef_velocity"], (0, 1, 2, 3, 4, 5)),
        (["eef_delta", "eef_pose"], None),
    ],
)
def test_statistics_say_where_zero_means_to_stand_still(encodings, moves):
    rows = np.random.default_rng(6).uniform(size=(9, 7))
    groups = [group(f"set{i}", rows, "action", encoding=e, grippers="6") for i, e in enumerate(encodings)]
    statistics = stats.loads(stats.dumps(stats.by_embodiment(groups)))["arm"].action
    assert statistics.moves == moves
    assert statistics.grippers == (6,)


def test_one_embodiment_with_two_layouts_is_refused_with_both_places():
    groups = [group("one", np.zeros((3, 7))), group("two", np.zeros((3, 8))), group("three", np.zeros((3, 7)))]
    with pytest.raises(DataEngineError, match=r"'arm' has states of 7 values in one, three but 8 values in two"):
        stats.by_embodiment(groups)
