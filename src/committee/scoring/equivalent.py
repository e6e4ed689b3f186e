"""How many members with equal weights an ensemble is worth (Ashukha et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.folds import make_folds
from committee.errors import DataError
from committee.predictions.probabilities import log_of
from committee.solvers.newton import best_temperature

SUBSETS = 10
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Equivalent:
    """The deep-ensemble equivalent of an ensemble.

    Attributes
    ----------
    value : float or None
        The number of members with equal weights that have the log-loss of the ensemble; None if no number
        from 1 to all members has it.
    log_loss : float
        Calibrated log-loss of the ensemble.
    curve : list of float
        Mean calibrated log-loss of 1, 2, ... members with equal weights.
    note : str
        Why there is no value; otherwise empty.

    See Also
    --------
    deep_ensemble_equivalent : Compute it.

    Examples
    --------
    >>> from committee.scoring.equivalent import Equivalent
    >>> Equivalent.of(0.5, [0.6, 0.4, 0.3]).value
    1.5
    >>> Equivalent.of(0.3, [0.6, 0.5, 0.4]).note
    'better than all 3 members with equal weights'
    """

    value: float | None
    log_loss: float
    curve: Sequence[float]
    note: str = ""

    @classmethod
    def of(cls, log_loss: float, curve: Sequence[float]) -> Equivalent:
        """Interpolate between the first numbers of members whose log-losses enclose that of the ensemble."""
        if not np.isfinite([log_loss, *curve]).all():
            return cls(None, log_loss, curve, "a log-loss is not finite")
        if log_loss > curve[0] + _ROUNDING:
            return cls(None, log_loss, curve, "worse than one member on average")
        reached = np.flatnonzero(np.asarray(curve) <= log_loss + _ROUNDING)
        if not len(reached):
            return cls(None, log_loss, curve, f"better than all {len(curve)} members with equal weights")
        last = int(reached[0])
        if last == 0:
            return cls(1.0, log_loss, curve)
        before, after = curve[last - 1], curve[last]
        return cls(last + min((before - log_loss) / (before - after), 1.0), log_loss, curve)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def deep_ensemble_equivalent(
    log_probs: NDArray[np.float32],
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Equivalent:
    """Return how many members with equal weights have the log-loss of an ensemble.

    All log-losses are calibrated: a temperature is fitted on one half of the rows, and the log-loss is that
    of the other half; both halves take both parts. The log-loss of k members is the mean over at most 10
    subsets of the mean of their probabilities; each member is in about equally many of them. Between two
    numbers of members, the log-loss is interpolated.

    Parameters
    ----------
    log_probs : float32 array [N, C]
        Predictions of the ensemble.
    logits : float32 array [M, N, C]
        Predictions of the members that it is compared with, for the same rows.
    labels : int64 array [N]
        Class indices.
    groups : array [N], optional
        Groups of rows that stay in one half.
    seed : int
        Seed of the halves and subsets.

    Raises
    ------
    DataError
        The rows cannot be halved.

    References
    ----------
    A. Ashukha, A. Lyzhov, D. Molchanov, D. Vetrov (2020). Pitfalls of in-domain uncertainty estimation and
    ensembling in deep learning. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.combiners import SoftVoting
    >>> from committee.predictions import simulate
    >>> from committee.scoring import deep_ensemble_equivalent
    >>> rows = simulate(dict.fromkeys("abcdef", 1.0), rows=400)
    >>> four = SoftVoting().combine(rows.logits[:4])
    >>> 3 < deep_ensemble_equivalent(four, rows.logits, rows.labels).value < 5
    True
    """
    if len(labels) < 2:
        raise DataError("deep_ensemble_equivalent", expected="at least 2 rows", got=str(len(labels)))
    half = make_folds(labels, 2, groups=groups, seed=seed, rare=True)
    probs = np.stack([_softmax(each) for each in logits])
    members = len(logits)
    order = np.random.default_rng(seed).permutation(members)
    # Every member is once at each place of all cyclic shifts of an order.
    starts = np.arange(members) if members <= SUBSETS else np.linspace(0, members, SUBSETS, False).astype(int)
    losses = np.empty((len(starts), members))
    for place, start in enumerate(starts):
        total = np.zeros_like(probs[0])
        for number, member in enumerate(np.roll(order, -start)):
            total += probs[member]
            if number == members - 1 and place:
                losses[place, number] = losses[0, number]
            else:
                losses[place, number] = _calibrated_loss(log_of(total), labels, half)
    return Equivalent.of(_calibrated_loss(log_probs, labels, half), losses.mean(axis=0).tolist())


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    return result


def _calibrated_loss(
    logits: NDArray[np.float32], labels: NDArray[np.int64], half: NDArray[np.int64]
) -> float:
    """Return the mean log-loss of rows whose temperature was fitted on the other half."""
    total = 0.0
    for each in (0, 1):
        here = half == each
        scaled = logits[here] / best_temperature(logits[~here], labels[~here])
        own = np.take_along_axis(scaled, labels[here, None], 1)[:, 0]
        total += float((np.logaddexp.reduce(scaled, axis=1) - own).sum(dtype=float))
    return total / len(labels)
