"""Predicted distributions of numbers: the moments of a mixture of members, and scores of normal ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from committee.base.limits import require_some
from committee.errors import DataError
from committee.metrics.means import mean_interval
from committee.metrics.sampling import Interval

Floats = NDArray[np.float64]


class Moments(NamedTuple):
    """What an ensemble predicts of numbers.

    Attributes
    ----------
    mean : float64 array [N, T]
        The weighted mean of the members.
    aleatoric : float64 array [N, T]
        Standard deviation of the noise that the members predict: the root of the mean variance. Zero if no
        variances are known.
    epistemic : float64 array [N, T]
        Standard deviation of the means of the members: how far they disagree.

    See Also
    --------
    mixture_moments : Returns this.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import Moments
    >>> Moments(np.zeros((1, 1)), np.array([[3.0]]), np.array([[4.0]])).total.tolist()
    [[5.0]]
    """

    mean: Floats
    aleatoric: Floats
    epistemic: Floats

    @property
    def total(self) -> Floats:
        """Standard deviation of the mixture, `[N, T]`: both parts, added as variances."""
        return np.hypot(self.aleatoric, self.epistemic)


def mixture_moments(
    means: ArrayLike,
    variances: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    *,
    about: ArrayLike | None = None,
) -> Moments:
    """Return the mean and the standard deviations of a mixture of members (Lakshminarayanan et al. 2017).

    Parameters
    ----------
    means : float array [M, N, T]
        Predicted numbers of each member.
    variances : float array [M, N, T], optional
        Predicted variance of each number, of members that predict one. Without it, the spread of the members
        is all that is known: it says how far they disagree, not how far the true numbers are from them.
    weights : float array [M], optional
        Weights of the members, of any sum above zero; equal by default.
    about : float array [N, T], optional
        What an ensemble predicts that is no weighted mean of the members, such as a stack; the epistemic part
        is then counted from there. By default the weighted mean.

    Raises
    ------
    DataError
        The shapes do not match, a variance is negative, or there are no weights.

    References
    ----------
    B. Lakshminarayanan, A. Pritzel, C. Blundell (2017). Simple and scalable predictive uncertainty estimation
    using deep ensembles. NeurIPS 30.

    See Also
    --------
    gaussian_scores : Scores of a mean and a standard deviation.
    committee.metrics.residual_scores : Intervals with a guaranteed coverage from any spread.

    Examples
    --------
    >>> from committee.metrics import mixture_moments
    >>> found = mixture_moments([[[1.0]], [[7.0]]], variances=[[[16.0]], [[16.0]]])
    >>> [float(each[0, 0]) for each in (*found, found.total)]
    [4.0, 4.0, 3.0, 5.0]
    """
    values = np.asarray(means, np.float64)
    noise = np.zeros_like(values) if variances is None else np.asarray(variances, np.float64)
    require_some("mixture_moments", len(values), "member")
    share = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    if noise.shape != values.shape or not (noise >= 0).all():
        raise DataError(
            "mixture_moments",
            expected=f"a variance of at least 0 for each of the means {list(values.shape)}",
            got="a negative one or NaN" if noise.shape == values.shape else str(list(noise.shape)),
        )
    if share.shape != values.shape[:1] or not (share >= 0).all() or not share.sum() > 0:
        raise DataError(
            "mixture_moments",
            expected=f"a weight of at least 0 for each of {len(values)} members, not all 0",
            got=str(share.tolist()),
        )
    share = share / share.sum()
    mean = np.tensordot(share, values, axes=1) if about is None else np.asarray(about, np.float64)
    between = np.tensordot(share, np.square(values - mean), axes=1)
    return Moments(mean, np.sqrt(np.tensordot(share, noise, axes=1)), np.sqrt(between))


def gaussian_log_loss(mean: ArrayLike, std: ArrayLike, truth: ArrayLike) -> Floats:
    """Return the negative log-likelihood of true numbers under normal distributions, in nats.

    Examples
    --------
    >>> from committee.metrics import gaussian_log_loss
    >>> gaussian_log_loss([0.0, 0.0], [1.0, 2.0], [0.0, 0.0]).round(4).tolist()
    [0.9189, 1.6121]
    """
    size = _positive(std)
    result: Floats = np.square(_distance(mean, size, truth)) / 2 + np.log(size) + np.log(2 * np.pi) / 2
    return result


def gaussian_crps(mean: ArrayLike, std: ArrayLike, truth: ArrayLike) -> Floats:
    """Return the continuous ranked probability score of normal distributions, in the unit of the numbers.

    It is the absolute error of a prediction without a spread, and rewards an honest spread otherwise.

    References
    ----------
    T. Gneiting, A. E. Raftery, A. H. Westveld, T. Goldman (2005). Calibrated probabilistic forecasting using
    ensemble model output statistics and minimum CRPS estimation. Monthly Weather Review 133, equation 5.

    Examples
    --------
    >>> from committee.metrics import gaussian_crps
    >>> gaussian_crps([0.0, 0.0], [1.0, 1e-9], [0.0, 3.0]).round(4).tolist()
    [0.2337, 3.0]
    """
    size = _positive(std)
    far = _distance(mean, size, truth)
    density = np.exp(-np.square(far) / 2) / np.sqrt(2 * np.pi)
    result: Floats = size * (far * (2 * ndtr(far) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return result


def gaussian_scores(
    mean: ArrayLike, std: ArrayLike, truth: ArrayLike, *, groups: ArrayLike | None = None
) -> dict[str, Interval]:
    """Return the mean `log_loss` and `crps` of predicted normal distributions, with 95% intervals.

    Parameters
    ----------
    mean, std, truth : float array [N] or [N, T]
        Predicted means, predicted standard deviations (such as `Moments.total`), and true numbers.
    groups : array [N], optional
        Groups of dependent rows.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import gaussian_scores
    >>> truth = np.random.default_rng(0).normal(size=500)
    >>> honest, too_sure = (gaussian_scores(np.zeros(500), np.full(500, s), truth) for s in (1.0, 0.2))
    >>> honest["log_loss"].high < too_sure["log_loss"].low
    True
    """
    unit = None if groups is None else np.asarray(groups)
    parts = {"log_loss": gaussian_log_loss(mean, std, truth), "crps": gaussian_crps(mean, std, truth)}
    require_some("metrics", len(parts["crps"]), "row")
    return {
        name: mean_interval(each.reshape(len(each), -1).mean(axis=1), unit) for name, each in parts.items()
    }


def _distance(mean: ArrayLike, std: Floats, truth: ArrayLike) -> Floats:
    """Return the distance of true numbers from means, in standard deviations."""
    result: Floats = (np.asarray(truth, np.float64) - np.asarray(mean, np.float64)) / std
    return result


def _positive(std: ArrayLike) -> Floats:
    size = np.asarray(std, np.float64)
    if not (size > 0).all():
        raise DataError(
            "gaussian_scores",
            expected="standard deviations above zero",
            got=f"{int((~(size > 0)).sum())} of {size.size} that are not",
            todo="Members that agree exactly have no spread: fit a variance, or use conformal intervals.",
        )
    return size
