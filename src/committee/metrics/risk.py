"""Risk-coverage curves: the error of a classifier that predicts only the rows it is most certain of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.figures import COLORS, new_axes

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The risk-coverage curve, its generalized form, and the areas under both.

    The rows are ordered by falling confidence. Rows with equal confidences are in any order; the areas are
    their expectations over the orders.

    Attributes
    ----------
    confidence : float array [N]
        Probability of the predicted class, or any other score by which rows are ordered.
    correct : bool array [N]
        Whether the predicted class is the label.

    See Also
    --------
    risk_coverage : Compute it from log-probabilities and labels.
    committee.metrics.evaluate : All metrics, these areas included.

    Notes
    -----
    torch-uncertainty integrates both curves by the trapezoidal rule from a coverage of `1 / N` to 1, and
    divides by the length of this range: its areas differ from these by about `1 / N`.

    References
    ----------
    Y. Geifman, G. Uziel, R. El-Yaniv (2019). Bias-reduced uncertainty estimation for deep neural classifiers.
    ICLR.
    J. Traub et al. (2024). Overcoming common flaws in the evaluation of selective classification systems.
    NeurIPS.

    Examples
    --------
    Of four rows, the third most certain one is wrong: the errors are 0, 0, 1/3 and 1/4 of the predicted rows.

    >>> import numpy as np
    >>> from committee.metrics import RiskCoverage
    >>> curve = RiskCoverage(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True]))
    >>> round(curve.aurc, 4), curve.augrc
    (0.1458, 0.09375)
    >>> curve.coverage.tolist(), curve.risk.round(2).tolist()
    ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.33, 0.25])
    """

    confidence: NDArray[np.floating]
    correct: NDArray[np.bool_]

    def plot(self) -> Any:
        """Return the curve as a figure of matplotlib; raise a DependencyError if it is not installed."""
        axes = new_axes("a risk-coverage curve")
        axes.plot(
            self.coverage, self.risk, color=COLORS[0], label=f"error of these rows, AURC {self.aurc:.4f}"
        )
        label = f"share predicted and wrong, AUGRC {self.augrc:.4f}"
        axes.plot(self.coverage, self.generalized_risk, color=COLORS[1], label=label)
        axes.set(xlabel="share of the rows that is predicted", ylabel="risk", xlim=(0, 1))
        axes.legend(frameon=False)
        return axes.figure

    @cached_property
    def coverage(self) -> Floats:
        """Share of the rows that are predicted, `[N]`: `k / N` for the `k` most certain rows."""
        return self._places / len(self._places)

    @cached_property
    def threshold(self) -> NDArray[np.floating]:
        """Smallest confidence of the rows that are predicted, `[N]`."""
        return self.confidence[self._order]

    @cached_property
    def risk(self) -> Floats:
        """Error rate of the rows that are predicted, `[N]`."""
        return self._errors / self._places

    @cached_property
    def generalized_risk(self) -> Floats:
        """Share of all rows that are predicted and wrong, `[N]`."""
        return self._errors / len(self._places)

    @cached_property
    def aurc(self) -> float:
        """Mean error rate of the `k` most certain rows over `k` from 1 to N."""
        return float(self.risk.mean())

    @cached_property
    def augrc(self) -> float:
        """Area under the errors among the `k` most certain rows, as a share of N, over the share `k / N`.

        It is the mean, over thresholds of confidence, of the risk that a row is predicted and wrong.
        """
        return float((self._errors - self._error / 2).mean() / len(self._error))

    @cached_property
    def aurc_influence(self) -> Floats:
        """N times the derivative of `aurc` with respect to the weight of each row, `[N]`; the sum is 0."""
        rest = self._errors / self._places - _from_here(self._errors / self._places**2)
        return self._influence(_from_here(1 / self._places), rest)

    @cached_property
    def augrc_influence(self) -> Floats:
        """N times the derivative of `augrc` with respect to the weight of each row, `[N]`; the sum is 0."""
        rows = len(self._places)
        return self._influence((rows - self._places + 0.5) / rows, (self._errors - self._error / 2) / rows)

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        return np.argsort(-self.confidence, kind="stable")

    @cached_property
    def _places(self) -> Floats:
        return np.arange(1, len(self._order) + 1, dtype=float)

    @cached_property
    def _ties(self) -> NDArray[np.intp]:
        """Index of the block of equal confidences of each place."""
        ordered = self.confidence[self._order]
        return np.append(0, np.cumsum(ordered[1:] != ordered[:-1]))

    @cached_property
    def _error(self) -> Floats:
        """Share of wrong rows among those with the confidence of each place."""
        return self._tied((~self.correct[self._order]).astype(float))

    @cached_property
    def _errors(self) -> Floats:
        """Expected number of wrong rows up to each place."""
        return np.cumsum(self._error)

    def _tied(self, values: Floats) -> Floats:
        """Return the mean over equal confidences of the values of places."""
        return (np.bincount(self._ties, values) / np.bincount(self._ties))[self._ties]

    def _influence(self, of_error: Floats, rest: Floats) -> Floats:
        """Return `of_error` where a row is wrong, plus `rest`, both by place, centered and in row order."""
        result = np.empty(len(self._order))
        result[self._order] = ~self.correct[self._order] * self._tied(of_error) + self._tied(rest)
        return result - result.mean()


def _from_here(values: Floats) -> Floats:
    """Return the sum of each value and those after it."""
    return np.cumsum(values[::-1])[::-1]
