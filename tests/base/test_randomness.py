"""Derived seeds, and random numbers that depend on the sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from committee.base.randomness import derive, sample_keys, uniform


def test_seeds_differ_by_every_key_and_stay_the_same_for_ever() -> None:
    seeds = {derive(s, m, f) for s in (0, 1) for m in ("a", "b") for f in ("fold_0", "fold_1")}
    assert len(seeds) == 8
    assert derive(0, "a", "fold_0") == 8888881928462668043
    assert derive(0, "ab", "c") != derive(0, "a", "bc")


IDS = st.lists(st.text("abcxyz0189/._ é", min_size=1, max_size=8), min_size=1, max_size=20, unique=True)


@given(IDS)
def test_a_sample_draws_the_same_numbers_in_any_batch(ids: list[str]) -> None:
    order = np.argsort(ids)[::-1]
    whole = uniform(7, sample_keys(ids), 5)
    shuffled = uniform(7, sample_keys(np.array(ids)[order]), 5)
    np.testing.assert_array_equal(whole[order], shuffled)
    np.testing.assert_array_equal(uniform(7, sample_keys(ids[:1]), 5), whole[:1])


def test_the_numbers_are_uniform_and_uncorrelated() -> None:
    numbers = uniform(derive(3, "augment"), sample_keys([str(i) for i in range(20_000)]), 4)
    assert numbers.dtype == np.float32
    assert numbers.min() >= 0 and numbers.max() < 1
    assert min(stats.kstest(column, "uniform").pvalue for column in numbers.T) > 1e-3
    correlation = np.corrcoef(numbers.T) - np.eye(4)
    assert np.abs(correlation).max() < 0.03


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_seeds_of_any_size_work(seed: int) -> None:
    assert uniform(seed, sample_keys(["a"]), 2).shape == (1, 2)
