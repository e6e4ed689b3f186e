"""Metrics of predicted normal distributions of numbers: negative log-likelihood and CRPS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.metrics.means import mean_interval
from committee.metrics.metric import Metric
from committee.metrics.mixtures import gaussian_crps, gaussian_log_loss
from committee.metrics.regression import NumberRows
from committee.metrics.sampling import Interval, Sample

Floats = NDArray[np.floating[Any]]


def _metric(name: str, score: Callable[..., Floats], *, has_unit: bool) -> Metric:
    """Return the mean over rows and targets of a score of mean, standard deviation and true number."""

    def terms(rows: NumberRows) -> Floats:
        assert rows.variances is not None
        mean, std, truth = (each / rows.unit for each in (rows.values, np.sqrt(rows.variances), rows.truth))
        return score(mean, std, truth).mean(axis=1)

    def value(rows: NumberRows) -> Floats:
        return np.asarray(terms(rows).mean())

    def influence(rows: NumberRows) -> Floats:
        found = terms(rows)
        return found - found.mean()

    def interval(rows: NumberRows, sample: Sample, resamples: int, seed: int) -> Interval:
        return mean_interval(terms(rows), sample.unit, sample.level)

    return Metric(name, value, False, influence, interval, NumberRows.read, has_unit=has_unit)


METRICS: dict[str, Metric] = {
    "nll": _metric("nll", gaussian_log_loss, has_unit=False),
    "crps": _metric("crps", gaussian_crps, has_unit=True),
}
"""Negative log-likelihood in nats and continuous ranked probability score, for rows with variances."""
