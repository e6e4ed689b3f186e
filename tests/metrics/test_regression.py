"""Metrics of numbers: values, influences and intervals against other libraries and simulations."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn import metrics as sklearn

from committee.errors import DataError
from committee.metrics.positive import ratio_ends, relative_ends
from committee.metrics.regression import METRICS, NumberRows, evaluate
from committee.metrics.sampling import Sample

EVERY = sorted(METRICS)


@pytest.fixture(scope="module", params=["continuous", "ties"])
def rows(request):
    """Forty rows of two targets with different units."""
    random = np.random.default_rng(4)
    truth = random.normal(size=(40, 2)) * [1, 30]
    values = truth + random.normal(size=(40, 2)) * [0.5, 20] + [0.1, 2]
    return NumberRows.read(*(each.round(0 if request.param == "ties" else 9) for each in (values, truth)))


def interval(name, rows, groups=None):
    return METRICS[name].interval(rows, Sample(len(rows), groups), 1000, 0)


def test_values_are_those_of_scikit_learn_and_scipy(rows):
    found = evaluate(rows.values, rows.truth)
    standardized = [each / rows.truth.std(axis=0) for each in (rows.truth, rows.values)]
    assert found["rmse"] == pytest.approx(sklearn.root_mean_squared_error(*standardized))
    assert found["mae"] == pytest.approx(sklearn.mean_absolute_error(*standardized))
    first = evaluate(rows.values[:, 0], rows.truth[:, 0])
    assert first["rmse"] == sklearn.root_mean_squared_error(rows.truth[:, 0], rows.values[:, 0])
    assert found["r2"] == pytest.approx(sklearn.r2_score(rows.truth, rows.values))
    pairs = zip(rows.values.T, rows.truth.T, strict=True)
    assert found["spearman"] == pytest.approx(np.mean([spearmanr(*pair).statistic for pair in pairs]))


def weighted(name, values, truth, weight):
    """Return a metric of weighted rows, written independently."""
    weight = weight / weight.sum()
    if name in ("rmse", "mae"):
        errors = np.abs(values - truth) / truth.std(axis=0)
        return (np.sqrt(weight @ errors**2) if name == "rmse" else weight @ errors).mean()
    if name == "r2":
        return (1 - weight @ (values - truth) ** 2 / (weight @ (truth - weight @ truth) ** 2)).mean()
    below = [
        np.array([weight @ ((column < each) + (column == each) / 2) for each in column]) - 0.5
        for part in (values, truth)
        for column in part.T
    ]
    pairs = zip(below[: values.shape[1]], below[values.shape[1] :], strict=True)
    return np.mean([(weight @ (a * b)) / np.sqrt((weight @ a**2) * (weight @ b**2)) for a, b in pairs])


@pytest.mark.parametrize("name", EVERY)
def test_influences_are_derivatives_with_respect_to_weights(name, rows):
    step, whole = 1e-6, np.ones(len(rows))
    numeric = [
        (
            weighted(name, rows.values, rows.truth, whole + step * unit)
            - weighted(name, rows.values, rows.truth, whole - step * unit)
        )
        / (2 * step)
        for unit in np.eye(len(rows))
    ]
    influence = METRICS[name].influence(rows)
    assert influence.sum() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(influence / len(rows), numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize("unit", [1e-6, 1e6])
@pytest.mark.parametrize("name", EVERY)
def test_intervals_do_not_depend_on_the_unit(name, unit, targets, rows):
    """Errors have the unit of a single target, and are in standard deviations of several."""
    values, truth = rows.values[:, :targets], rows.truth[:, :targets]
    found, other = (interval(name, NumberRows.read(by * values, by * truth)) for by in (1, unit))
    scale = unit if METRICS[name].has_unit and targets == 1 else 1
    for end in ("value", "low", "high"):
        assert getattr(other, end) == pytest.approx(scale * getattr(found, end), rel=1e-6)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("groups", [None, np.arange(40) // 4])
@pytest.mark.parametrize("kind", ["perfect", "equal errors", "constant target"])
def test_no_interval_has_zero_width(name, groups, kind):
    truth = np.linspace(0, 1, 40)
    values = truth + (0.2 if kind == "equal errors" else 0)
    truth = np.full(40, 0.5) if kind == "constant target" else truth
    values = truth if kind == "constant target" else values
    found = interval(name, NumberRows.read(values, truth), groups)
    if kind == "constant target" and name in ("r2", "spearman"):
        assert np.isnan(found.value) and np.isnan(found.low)
    else:
        assert found.low < found.high and found.low <= found.value <= found.high


@pytest.mark.parametrize("name", EVERY)
def test_one_group_says_nothing(name, rows):
    found = interval(name, rows, np.zeros(40))
    least, most = {"r2": (-np.inf, 1.0), "spearman": (-1.0, 1.0)}.get(name, (0.0, np.inf))
    assert (found.low, found.high) == (least, most)


def test_equal_rows_in_groups_say_no_more_than_one_of_them():
    random = np.random.default_rng(0)
    values, truth = random.normal(size=(2, 20))
    rows, twice = NumberRows.read(values, truth), NumberRows.read(np.repeat(values, 5), np.repeat(truth, 5))
    for name in ("rmse", "mae", "r2"):
        alone, found = interval(name, rows), interval(name, twice, np.arange(100) // 5)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), rel=0.03, abs=0.03)


def test_equal_numerator_and_denominator_still_have_a_width():
    influence = np.random.default_rng(0).exponential(size=50) - 1
    low, high = ratio_ends(influence, influence, Sample(50))
    assert low < 1 < high and relative_ends(influence, Sample(1)) == (0.0, np.inf)


ERRORS = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "heavy": lambda random, shape: random.standard_t(5, shape),
    "skewed": lambda random, shape: random.exponential(size=shape) - 1,
}
TRUTH = {
    "normal": {"rmse": 1.0, "mae": np.sqrt(2 / np.pi), "r2": 0.75},
    "heavy": {"rmse": np.sqrt(5 / 3), "mae": 0.9490, "r2": 1 - 5 / 12},
    "skewed": {"rmse": 1.0, "mae": 2 / np.e, "r2": 0.75},
}


@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_intervals_cover_the_truth(kind):
    """150 data sets of 60 rows: at least 90% where 95% are expected has a probability above 99%."""
    random = np.random.default_rng(6)
    hits = dict.fromkeys(TRUTH[kind], 0)
    for _ in range(150):
        truth = 2 * random.standard_normal((60, 1))
        rows = NumberRows.read(truth + ERRORS[kind](random, (60, 1)), truth)
        for name, true in TRUTH[kind].items():
            found = interval(name, rows)
            hits[name] += found.low <= true <= found.high
    assert min(hits.values()) >= 135, hits


@pytest.mark.parametrize(
    ("values", "truth", "message"),
    [
        ([1.0, 2.0], [1.0], r"expected values \[N, T\] and numbers \[N, T\], got \[2, 1\] and \[1, 1\]"),
        ([1.0, np.nan], [1.0, 2.0], "expected finite numbers, got NaN or infinity"),
    ],
)
def test_bad_numbers_are_refused(values, truth, message):
    with pytest.raises(DataError, match=message):
        evaluate(values, truth)


def test_ranks_of_ties_are_means():
    rows = NumberRows.read([3.0, 1.0, 3.0], [1.0, 2.0, 2.0])
    np.testing.assert_allclose(3 * (rows.orders[0].ranks[:, 0] + 0.5) + 0.5, rankdata([3, 1, 3]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(evaluate([1.0, 1.0], [1.0, 2.0], ["spearman"])["spearman"])
