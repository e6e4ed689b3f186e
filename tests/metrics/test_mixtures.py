"""Moments of mixtures and scores of normal distributions, against scipy and sampling."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from committee.errors import DataError
from committee.metrics import gaussian_crps, gaussian_log_loss, gaussian_scores, mixture_moments

MEANS = np.array([[[1.0, 10.0]], [[2.0, 20.0]], [[6.0, 60.0]]])


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 5.0]])
def test_moments_are_those_of_draws_from_the_mixture(weights):
    variances = np.array([[[1.0, 100.0]], [[4.0, 1.0]], [[0.25, 9.0]]])
    found = mixture_moments(MEANS, variances, weights)
    random = np.random.default_rng(0)
    share = np.ones(3) if weights is None else np.array(weights)
    which = random.choice(3, 200_000, p=share / share.sum())
    drawn = MEANS[which, 0] + np.sqrt(variances[which, 0]) * random.normal(size=(200_000, 2))
    np.testing.assert_allclose(found.mean[0], drawn.mean(axis=0), rtol=0.02)
    np.testing.assert_allclose(found.total[0], drawn.std(axis=0), rtol=0.02)
    np.testing.assert_allclose(found.total**2, found.aleatoric**2 + found.epistemic**2)


def test_without_variances_the_spread_of_the_members_is_all():
    found = mixture_moments(MEANS)
    assert not found.aleatoric.any()
    np.testing.assert_allclose(found.total, MEANS.std(axis=0))


def test_scores_are_those_of_scipy_and_of_the_definition():
    random = np.random.default_rng(1)
    mean, truth, std = random.normal(size=5), random.normal(size=5), random.uniform(0.5, 2, 5)
    np.testing.assert_allclose(gaussian_log_loss(mean, std, truth), -norm.logpdf(truth, mean, std))
    defined = [
        quad(lambda x, m=m, s=s: norm.cdf(x, m, s) ** 2, -20, y)[0]
        + quad(lambda x, m=m, s=s: norm.sf(x, m, s) ** 2, y, 20)[0]
        for m, s, y in zip(mean, std, truth, strict=True)
    ]
    np.testing.assert_allclose(gaussian_crps(mean, std, truth), defined, rtol=1e-6)


def test_groups_widen_the_intervals_of_scores():
    truth = np.repeat(np.random.default_rng(2).normal(size=30), 4)
    alone = gaussian_scores(np.zeros(120), np.ones(120), truth)["crps"]
    grouped = gaussian_scores(np.zeros(120), np.ones(120), truth, groups=np.arange(120) // 4)["crps"]
    assert grouped.value == alone.value and grouped.high > alone.high


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mixture_moments(MEANS, -MEANS), "at least 0 for each of the means .* got a negative one"),
        (lambda: mixture_moments(MEANS, MEANS[:2]), r"got \[2, 1, 2\]"),
        (lambda: mixture_moments(MEANS, weights=[0, 0, 0]), "3 members, not all 0, got"),
        (lambda: gaussian_crps([0.0], [0.0], [1.0]), "expected standard deviations above zero, got 1 of 1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()
