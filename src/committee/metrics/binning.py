"""The expected calibration error of binned confidences, and its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from committee.metrics.sampling import Floats, Interval, Sample
from committee.metrics.summaries import BINS, Rows, Summary


@dataclass(frozen=True)
class CalibrationError:
    """The expected calibration error of the top class (Naeini et al. 2015; Guo et al. 2017).

    Attributes
    ----------
    kind : {"", "_mass"}
        Bins of equal width, or of equal numbers of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import summary
    >>> from committee.metrics.binning import CalibrationError
    >>> float(CalibrationError("")(summary(np.log([[0.75, 0.25], [0.75, 0.25]]), [0, 0])))
    0.25
    """

    kind: str

    def __call__(self, found: Summary) -> Floats:
        """Return the error of a summary."""
        return np.abs(self._sums(found)).sum() / found.count

    def influence(self, rows: Rows) -> Floats:
        """Return N times the derivative with respect to the weight of each row, `[N]`; the sum is 0."""
        signs = np.sign(self._sums(rows.whole))
        return rows.gap * signs[self._bins(rows)] - self(rows.whole)

    def interval(self, rows: Rows, sample: Sample, resamples: int, seed: int) -> Interval:
        """Return the error with the interval of a parametric bootstrap: normal noise on the gaps of bins.

        Noise can only increase an error. By how much it does so in the resamples, the interval is extended
        downwards; and to zero, if noise alone would be as large as the error.
        """
        value = float(self(rows.whole))
        if not np.isfinite(sample.quantile):
            return Interval(value, 0.0, 1.0)
        gaps, noise = self._sums(rows.whole) / sample.rows, self._noise(rows, sample, resamples, seed)
        draws, tail = np.abs(gaps + noise).sum(axis=1), (1 - sample.level) / 2
        low, high = np.quantile(draws, [tail, 1 - tail]) - draws.mean()
        low = value + low - max(draws.mean() - value, 0)
        if value <= np.quantile(np.abs(noise).sum(axis=1), 1 - tail):
            low = 0.0
        return Interval(value, float(np.clip(low, 0, value)), float(np.clip(value + high, value, 1)))

    def _noise(self, rows: Rows, sample: Sample, resamples: int, seed: int) -> Floats:
        """Return normal noise of the gaps of the bins, `[resamples, 15]`."""
        sums, bins = self._sums(rows.whole), self._bins(rows)
        if sample.unit is None:
            covariance = np.diag(np.bincount(bins, rows.gap**2, BINS)) - np.outer(sums, sums) / sample.rows
        else:
            table = np.bincount(sample.unit * BINS + bins, rows.gap, sample.units * BINS).reshape(-1, BINS)
            noise = table - np.outer(np.bincount(sample.unit), sums / sample.rows)
            covariance = noise.T @ noise * sample.units / (sample.units - 1)
        # One more error in each bin that is used, so that no bin is certain.
        covariance += np.diag(np.bincount(bins, minlength=BINS) > 0)
        scale = sample.quantile / ndtri((1 + sample.level) / 2) / sample.rows
        random = np.random.default_rng(seed)
        return scale * random.multivariate_normal(
            np.zeros(BINS), covariance, resamples, check_valid="ignore", method="eigh"
        )

    def _sums(self, found: Summary) -> Floats:
        sums: Floats = getattr(found, f"gap{self.kind}")
        return sums

    def _bins(self, rows: Rows) -> NDArray[np.int64]:
        bins: NDArray[np.int64] = getattr(rows, f"bins{self.kind}")
        return bins
