"""Conformal intervals of numbers: exact quantiles, coverage in simulation, groups, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from committee.errors import DataError, UsageError
from committee.metrics import coverage_and_width, interval_limits, prediction_intervals, residual_scores


@pytest.mark.parametrize(("rows", "coverage"), [(19, 0.95), (18, 0.95), (50, 0.9), (7, 0.5), (99, 0.99)])
def test_the_limit_is_the_exact_quantile(rows, coverage):
    scores = np.random.default_rng(rows).permutation(np.arange(1.0, rows + 1))
    place = math.ceil((rows + 1) * coverage - 1e-12)
    assert interval_limits(scores, [coverage]).item() == (place if place <= rows else math.inf)


@pytest.mark.parametrize("normalized", [False, True])
def test_coverage_of_new_rows_is_that_which_was_asked(normalized):
    """With 39 calibration rows, the expected coverage of 0.9 is 36 / 40 exactly."""
    random = np.random.default_rng(2)
    noise = random.uniform(0.2, 2.0, (3000, 40, 1))
    errors = noise * random.normal(size=noise.shape)
    held = widths = 0.0
    for error, spread in zip(errors, noise, strict=True):
        known = spread[:39] if normalized else None
        limit = interval_limits(residual_scores(0 * error[:39], error[:39], known), [0.9])[0]
        low, high = prediction_intervals([[0.0]], limit, spread[39:] if normalized else None)
        held += bool(low[0, 0] <= error[39, 0] <= high[0, 0])
        widths += float(high[0, 0] - low[0, 0])
    assert held / 3000 == pytest.approx(0.9, abs=0.02)


def test_targets_have_limits_of_their_own_in_their_own_unit():
    random = np.random.default_rng(0)
    truth, values = random.normal(size=(2, 200, 2)) * [1, 1000]
    limits = interval_limits(residual_scores(values, truth), [0.5, 0.9])
    assert limits.shape == (2, 2) and (limits[:, 1] > 100 * limits[:, 0]).all()
    found = coverage_and_width(values, truth, limits[1])
    assert [each["coverage"].value for each in found] == pytest.approx([0.905, 0.905])
    assert [each["mean_width"].value for each in found] == pytest.approx((2 * limits[1]).tolist())


def test_groups_need_a_new_group():
    scores = np.repeat(np.arange(1.0, 11.0), 5)
    groups = np.repeat(np.arange(10), 5)
    assert interval_limits(scores, [0.9]).item() == 10.0
    assert interval_limits(scores, [0.9], groups).item() == 10.0
    assert interval_limits(scores, [0.95], groups).item() == math.inf
    found = coverage_and_width(np.zeros(50), scores, 5.0, groups=groups)[0]
    alone = coverage_and_width(np.zeros(50), scores, 5.0)[0]
    assert found["coverage"].high - found["coverage"].low > alone["coverage"].high - alone["coverage"].low


def test_too_few_rows_give_intervals_without_ends():
    limit = interval_limits(np.ones(5), [0.95])[0]
    low, high = prediction_intervals([3.0], limit)
    assert (low.item(), high.item()) == (-math.inf, math.inf)
    assert coverage_and_width([3.0], [4.0], limit)[0]["mean_width"].value == math.inf


def test_widths_of_normalized_intervals_have_an_interval():
    spread = np.linspace(1, 2, 50)
    found = coverage_and_width(np.zeros(50), np.ones(50), 2.0, spread)[0]["mean_width"]
    assert found.value == pytest.approx(6.0) and found.low < 6.0 < found.high


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: residual_scores([1.0, 2.0], [1.0]),
            DataError,
            r"intervals: expected as many numbers as values, got \[1, 1\] for \[2, 1\]",
        ),
        (
            lambda: residual_scores([1.0, 2.0], [1.0, 2.0], [1.0, 0.0]),
            DataError,
            r"expected a spread above zero for each value \[2, 1\], got \[2, 1\], 1 of them not above zero",
        ),
        (
            lambda: interval_limits([1.0], [95.0]),
            UsageError,
            "expected a number above 0 and below 1, such as 0.95, got 95",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
