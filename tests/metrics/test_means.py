"""Intervals of means: those of scipy for single rows, and those of group means for groups of equal size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from committee.metrics.means import mean_interval, variance_of_mean

VALUES = np.random.default_rng(0).normal(0.2, 1.0, 60)


def expected(values: np.ndarray, level: float) -> tuple[float, float]:
    low, high = stats.t.interval(level, len(values) - 1, values.mean(), stats.sem(values))
    return float(low), float(high)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_rows_or_groups_are_the_units(level: float) -> None:
    groups = np.arange(60) // 4
    alone, grouped = mean_interval(VALUES, level=level), mean_interval(VALUES, groups, level)
    assert alone.value == grouped.value == pytest.approx(VALUES.mean())
    assert (alone.low, alone.high) == pytest.approx(expected(VALUES, level))
    assert (grouped.low, grouped.high) == pytest.approx(expected(VALUES.reshape(15, 4).mean(1), level))


def test_names_of_groups_do_not_matter_and_one_group_has_one_degree_of_freedom() -> None:
    names = np.array(["b", "a", "c"])[np.arange(60) % 3]
    assert variance_of_mean(VALUES, names) == variance_of_mean(VALUES, np.array([7, 1, 9])[np.arange(60) % 3])
    assert variance_of_mean(VALUES, np.zeros(60))[1] == 1
