"""Data of reliability diagrams and of risk-coverage curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.figures import COLORS, new_axes
from committee.base.limits import at_least
from committee.errors import DataError, UsageError
from committee.metrics.risk import RiskCoverage
from committee.metrics.summaries import BINS, Rows

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram: confidence and accuracy of the rows in each bin of confidence.

    Attributes
    ----------
    edges : float64 array [B + 1]
        Limits of the bins, from 0 to 1; a bin contains its upper limit.
    count : int64 array [B]
        Number of rows in each bin.
    confidence, accuracy : float64 array [B]
        Mean confidence and share of correct rows of each bin; NaN in an empty one.

    See Also
    --------
    reliability : Compute it from log-probabilities and labels.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import reliability
    >>> log_probs = np.log([[0.75, 0.25], [0.75, 0.25], [0.5, 0.5]])
    >>> diagram = reliability(log_probs, [0, 1, 0], bins=2)
    >>> diagram.count.tolist(), diagram.confidence[1], diagram.accuracy[1], round(diagram.ece, 4)
    ([1, 2], np.float64(0.75), np.float64(0.5), 0.3333)
    """

    edges: Floats
    count: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats

    def plot(self) -> Any:
        """Return the diagram as a figure of matplotlib; raise a DependencyError if it is not installed."""
        axes, known = new_axes("a reliability diagram"), self.count > 0
        axes.bar(
            self.edges[:-1],
            self.count / self.count.sum(),
            np.diff(self.edges),
            align="edge",
            color=COLORS[3],
            alpha=0.3,
        )
        axes.plot([0, 1], [0, 1], "--", color=COLORS[3], linewidth=1)
        axes.plot(self.confidence[known], self.accuracy[known], "o-", color=COLORS[0])
        axes.set(xlabel="confidence", ylabel="share of correct predictions", xlim=(0, 1), ylim=(0, 1))
        axes.set_title(f"expected calibration error {self.ece:.4f}; bars: share of the rows", fontsize=10)
        return axes.figure

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of confidence and accuracy, weighted by rows."""
        gaps = np.abs(self.confidence - self.accuracy)[self.count > 0]
        return float(gaps @ self.count[self.count > 0] / self.count.sum())


def reliability(
    log_probs: ArrayLike, labels: ArrayLike, bins: int = BINS, equal: Literal["width", "mass"] = "width"
) -> Reliability:
    """Return the data of a reliability diagram of the most probable class.

    Parameters
    ----------
    log_probs : float array [N, C]
        Normalized log-probabilities.
    labels : int array [N]
        Class indices.
    bins : int
        Number of bins.
    equal : {"width", "mass"}
        Whether bins have the same width, or about the same number of rows.

    Returns
    -------
    Reliability
        Its `ece` with 15 bins is the metric `ece`, or `ece_mass`, of `committee.metrics.evaluate`.

    Raises
    ------
    DataError
        The arguments are not log-probabilities and labels of the same rows.
    UsageError
        There is no bin, or `equal` is neither of the two.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017). On calibration of modern neural networks. ICML.

    See Also
    --------
    Reliability : The result, with an example.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import reliability
    >>> diagram = reliability(np.log([[0.75, 0.25], [0.75, 0.25]]), [0, 1], bins=2, equal="mass")
    >>> round(diagram.ece, 4)
    0.25
    """
    at_least("reliability: bins", bins, 1)
    if equal not in ("width", "mass"):
        raise UsageError("reliability: equal", expected="width or mass", got=repr(equal))
    rows = Rows.read(log_probs, labels)
    confidence = rows.confidence
    edges: NDArray[Any] = np.linspace(0, 1, bins + 1)
    if equal == "mass":
        edges[1:-1] = np.quantile(confidence, edges[1:-1])
    # Edges of the type of the confidences, so that equal ones share a bin.
    inner = edges[1:-1].astype(confidence.dtype)
    place = np.searchsorted(inner, confidence, side="left")
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, each, bins) / count for each in (confidence, rows.correct)]
    return Reliability(edges, count, *means)


def risk_coverage(
    log_probs: ArrayLike, labels: ArrayLike, confidence: ArrayLike | None = None
) -> RiskCoverage:
    """Return the risk-coverage curve of predictions.

    Parameters
    ----------
    log_probs : float array [N, C]
        Normalized log-probabilities.
    labels : int array [N]
        Class indices.
    confidence : float array [N], optional
        The score by which rows are selected, the largest first, such as the negative mutual information of
        the members; by default the probability of the predicted class.

    Raises
    ------
    DataError
        The arguments are not log-probabilities, labels and scores of the same rows.

    See Also
    --------
    RiskCoverage : The result, with its references.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import risk_coverage
    >>> log_probs = np.log([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    >>> curve = risk_coverage(log_probs, [0, 0, 1, 0])
    >>> curve.generalized_risk.tolist(), curve.augrc
    ([0.0, 0.0, 0.25, 0.25], 0.09375)
    """
    rows = Rows.read(log_probs, labels)
    if confidence is None:
        return rows.risk
    scores = np.asarray(confidence, np.float64)
    right = scores.shape == (len(rows),)
    if not (right and np.isfinite(scores).all()):
        raise DataError(
            "confidence",
            expected=f"{len(rows)} finite numbers, one for each row",
            got="NaN or infinity" if right else f"an array {list(scores.shape)}",
        )
    return RiskCoverage(scores, rows.correct)
