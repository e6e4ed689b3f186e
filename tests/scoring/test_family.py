"""The promise of leaderboards: where no method is better, at most 5% of them claim a gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, norm

from committee.scoring.baselines import draws_of_best
from committee.scoring.family import simultaneous
from committee.scoring.gains import Gain, corrected, paired
from committee.scoring.resamples import Resamples

pytestmark = pytest.mark.slow

ROWS, FOLDS, METHODS = 300, 5, 7
FOLD = np.arange(ROWS) % FOLDS
RESAMPLES = Resamples.draw(FOLD, None, 0, resamples=400)

Floats = NDArray[np.float64]


def members_and_methods(members: int, random: np.random.Generator, correlation: float) -> Floats:
    """Return scores of rows `[members + methods, N]` with equal means."""
    shared = np.sqrt(correlation) * random.normal(size=ROWS)
    own = random.normal(size=(members + METHODS, ROWS))
    return np.asarray(shared + np.sqrt(1 - correlation) * own)


def right_or_wrong(members: int, random: np.random.Generator, correlation: float) -> Floats:
    return (members_and_methods(members, random, correlation) > -0.5).astype(float)


def leaderboard(
    members: Floats, methods: Floats, resamples: Resamples = RESAMPLES, fold: NDArray[np.int64] = FOLD
) -> dict[int, Gain]:
    """Return the gain of each method, with simultaneous limits."""
    outside = np.stack([members[:, fold != each].mean(axis=1) for each in range(FOLDS)])
    baseline = members[outside.argmax(axis=1)[fold], np.arange(len(fold))]
    sums = resamples.sums(members - members.mean(axis=1, keepdims=True))
    best = draws_of_best(members.mean(axis=1), sums, resamples)
    means = resamples.means(resamples.sums(methods - methods.mean(axis=1, keepdims=True)))
    draws = dict(enumerate((means - means.mean(axis=0) - best[:, None]).T))
    gains = {}
    for method, values in enumerate(methods - baseline):
        error = np.sqrt(corrected(draws[method].var(), resamples.units))
        centered = resamples.sums(values[None] - values.mean())[:, 0]
        gains[method] = paired("auroc", values.mean(), error, centered, "best single member")
    return simultaneous(gains, draws)


def claims(draw: Callable[..., Floats], members: int, effect: float = 0.0, times: int = 400) -> Floats:
    """Return the share of leaderboards with a proven gain, and that with one by a single interval."""
    random = np.random.default_rng(members)
    found = np.zeros((times, 2))
    for each in range(times):
        rows = draw(members, random, 0.5)
        gains = leaderboard(rows[:members], rows[members:] + effect).values()
        found[each] = [
            any(gain.proven for gain in gains),
            any(replace(gain, critical=1.96).proven for gain in gains),
        ]
    return np.asarray(found.mean(axis=0))


@pytest.mark.parametrize("draw", [members_and_methods, right_or_wrong])
@pytest.mark.parametrize("members", [1, 5, 20])
def test_at_most_5_percent_of_leaderboards_claim_a_gain_where_there_is_none(
    draw: Callable[..., Floats], members: int
) -> None:
    together, alone = claims(draw, members)
    assert together <= binom.ppf(0.995, 400, 0.05) / 400
    assert alone > 0.08  # what intervals of single gains would claim


@pytest.mark.parametrize("gap", [0.0, 0.06, 0.5])
@pytest.mark.parametrize("members", [2, 5, 20])
def test_the_standard_error_includes_the_choice_of_the_best_member(members: int, gap: float) -> None:
    """Equal members, one that is better by one standard error, and one that dominates."""
    random = np.random.default_rng(1)
    found, fixed = [], []
    for _ in range(300):
        rows = members_and_methods(members, random, 0.5)
        rows[0] += gap
        gain = leaderboard(rows[:members], rows[members : members + 1])[0]
        found.append((gain.value, gain.standard_error))
        fixed.append((rows[0] - rows[members]).std() / np.sqrt(ROWS))
    values, errors = np.transpose(found)
    assert 0.84 < errors.mean() / values.std() < 1.12
    if not gap and members > 2:
        assert np.mean(fixed) / values.std() < 0.88  # the standard error of a difference from a fixed member


@pytest.mark.parametrize("members", [2, 5, 20])
def test_a_method_that_is_as_good_as_the_best_member_is_rarely_proven_better(members: int) -> None:
    """The choice is sometimes wrong, so there is a small true gain over it: the worst case of the promise."""
    random = np.random.default_rng(3)
    together, fixed = [], []
    for _ in range(300):
        rows = random.normal(size=(members, ROWS))
        rows[0] += 0.12
        method = rows[:2].mean(axis=0, keepdims=True) + 0.06
        gain = leaderboard(rows, method)[0]
        together.append(gain.proven)
        fixed.append(gain.value > 1.96 * (method[0] - rows[0]).std() / np.sqrt(ROWS))
    assert np.mean(together) < 0.1 and np.mean(fixed) > 0.15


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_power_of_a_single_gain_is_that_of_its_standard_error(size: int) -> None:
    random = np.random.default_rng(size)
    proven, errors = [], []
    for _ in range(300):
        rows = members_and_methods(5, random, 0.5)
        gain = leaderboard(rows[:5], rows[5:6] + size * 0.068)[0]
        proven.append(gain.proven)
        errors.append(gain.standard_error)
    expected = norm.sf(1.97 - size * 0.068 / np.mean(errors))
    assert abs(np.mean(proven) - expected) < 3 * np.sqrt(expected * (1 - expected) / 300)


def test_the_correction_costs_little_power() -> None:
    """Of seven methods with a true gain of three standard errors, one is proven nearly always."""
    together, alone = claims(members_and_methods, 5, effect=0.2, times=150)
    assert together > 0.88 and alone - together < 0.1


def test_few_groups() -> None:
    """Ten groups of 30 rows, whose rows are nearly the same."""
    random = np.random.default_rng(2)
    groups = np.arange(ROWS) // 30
    fold = groups % FOLDS
    resamples = Resamples.draw(fold, groups, 0, resamples=400)
    count = 0
    for _ in range(400):
        rows = 0.2 * random.normal(size=(4 + METHODS, ROWS))
        rows += np.repeat(random.normal(size=(4 + METHODS, 10)), 30, axis=1)
        count += any(gain.proven for gain in leaderboard(rows[:4], rows[4:], resamples, fold).values())
    assert count <= binom.ppf(0.995, 400, 0.05)


def test_methods_that_predict_the_same_count_once() -> None:
    gains = {name: Gain("log_loss", 0.0205, 0.01, 0.0, 5000, against="x") for name in "abcdefg"}
    draws = np.random.default_rng(0).normal(size=(7, 1000)).astype(np.float32)
    same = simultaneous(gains, dict.fromkeys(gains, draws[0]))
    different = simultaneous(gains, dict(zip(gains, draws, strict=True)))
    assert all(gain.proven for gain in same.values()) and not any(gain.proven for gain in different.values())
    assert same["a"].critical == pytest.approx(1.96, abs=0.002)
    assert 2.3 < different["a"].critical < 2.6
    few = simultaneous(
        {name: replace(gain, units=5) for name, gain in gains.items()}, dict.fromkeys(gains, draws[0])
    )
    assert few["a"].critical == pytest.approx(2.776, abs=0.001)


def test_more_rows_than_units_are_joined_inside_their_folds() -> None:
    folds = np.repeat([0, 1, 2], [5000, 300, 700])
    resamples = Resamples.draw(folds, None, 0, resamples=200)
    assert resamples.units <= 2048
    np.testing.assert_array_equal(resamples.fold[resamples.unit], folds)
    values = np.random.default_rng(0).normal(size=(1, 6000))
    draws = resamples.means(resamples.sums(values))[:, 0]
    assert draws.std() == pytest.approx(1 / np.sqrt(6000), rel=0.2)


@pytest.mark.parametrize("unit", [2.0**-100, 2.0**90])
def test_limits_do_not_depend_on_the_unit_of_a_target(unit: float) -> None:
    random = np.random.default_rng(0)
    draws = {name: random.normal(size=500).astype(np.float32) for name in "abc"}
    gains = {name: Gain("rmse", 1.0, 1.0, 2.0, 50, against="x") for name in draws}
    scaled = {name: drawn * np.float32(unit) for name, drawn in draws.items()}
    assert simultaneous(gains, scaled) == simultaneous(gains, draws)
