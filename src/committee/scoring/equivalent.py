"""How many members with equal weights an ensemble is worth (Ashukha et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.folds import make_folds
from committee.errors import DataError
from committee.predictions.probabilities import log_of
from committee.solvers.newton import best_temperature
from committee.tasks.base import Task

SUBSETS = 10
LOG_LOSS = "log_loss"
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Equivalent:
    """The deep-ensemble equivalent of an ensemble.

    Attributes
    ----------
    value : float or None
        The number of members with equal weights that have the loss of the ensemble; None if no number from 1
        to all members has it.
    loss : float
        Loss of the ensemble.
    curve : list of float
        Mean loss of 1, 2, ... members with equal weights.
    note : str
        Why there is no value; otherwise empty.
    metric : str
        Name of the loss: the calibrated `log_loss`, or the `rmse` of numbers.

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
    loss: float
    curve: Sequence[float]
    note: str = ""
    metric: str = LOG_LOSS

    @classmethod
    def of(cls, loss: float, curve: Sequence[float], metric: str = LOG_LOSS, unit: float = 1.0) -> Equivalent:
        """Interpolate between the first numbers of members whose losses enclose that of the ensemble."""
        rounding = _ROUNDING * unit

        def without(note: str) -> Equivalent:
            return cls(None, loss, curve, note, metric)

        if not np.isfinite([loss, *curve]).all():
            return without(f"a {metric.replace('_', '-')} is not finite")
        if loss > curve[0] + rounding:
            return without("worse than one member on average")
        reached = np.flatnonzero(np.asarray(curve) <= loss + rounding)
        if not len(reached):
            return without(f"better than all {len(curve)} members with equal weights")
        last = int(reached[0])
        if last == 0:
            return cls(1.0, loss, curve, "", metric)
        before, after = curve[last - 1], curve[last]
        return cls(last + min((before - loss) / (before - after), 1.0), loss, curve, "", metric)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; the loss has the name of its metric."""
        return {"value": self.value, self.metric: self.loss, "curve": self.curve, "note": self.note}


def deep_ensemble_equivalent(
    log_probs: NDArray[np.float32],
    logits: NDArray[np.float32],
    labels: NDArray[Any],
    *,
    task: Task | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Equivalent:
    """Return how many members with equal weights have the loss of an ensemble.

    The loss of classes is the calibrated log-loss: a temperature is fitted on one half of the rows, and the
    log-loss is that of the other half; both halves take both parts. The loss of numbers is their first
    objective, `rmse`. The loss of k members is that of the mean of their probabilities or numbers, averaged
    over at most 10 subsets; each member is in about equally many of them. Between two numbers of members, the
    loss is interpolated.

    Parameters
    ----------
    log_probs : float32 array [N, C]
        Predictions of the ensemble: log-probabilities, or numbers.
    logits : float32 array [M, N, C]
        Predictions of the members that it is compared with, for the same rows.
    labels : int64 array [N] or float array [N, C]
        Class indices, or true numbers.
    task : Task, optional
        What is predicted: `task_of(predictions)`. Classes by default.
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
    if task is not None and not task.logits:
        return _of_numbers(task, log_probs, logits, labels, seed)
    half = make_folds(labels, 2, groups=groups, seed=seed, rare=True)
    probs = np.stack([_softmax(each) for each in logits])
    curve = _curve(probs, seed, lambda total, _: _calibrated_loss(log_of(total), labels, half))
    return Equivalent.of(_calibrated_loss(log_probs, labels, half), curve)


def _of_numbers(
    task: Task, outputs: NDArray[np.float32], members: NDArray[np.float32], labels: NDArray[Any], seed: int
) -> Equivalent:
    metric = task.objectives[0]

    def loss(values: NDArray[Any]) -> float:
        return task.evaluate(values, labels, [metric])[metric]

    curve = _curve(members.astype(np.float64), seed, lambda total, number: loss(total / number))
    return Equivalent.of(loss(outputs), curve, metric, unit=curve[0])


def _curve(outputs: NDArray[Any], seed: int, loss: Callable[[NDArray[Any], int], float]) -> list[float]:
    """Return the mean loss of 1, 2, ... members: a function of the sum of their outputs, and their number."""
    members = len(outputs)
    order = np.random.default_rng(seed).permutation(members)
    # Every member is once at each place of all cyclic shifts of an order.
    starts = np.arange(members) if members <= SUBSETS else np.linspace(0, members, SUBSETS, False).astype(int)
    losses = np.empty((len(starts), members))
    for place, start in enumerate(starts):
        total = np.zeros_like(outputs[0])
        for number, member in enumerate(np.roll(order, -start)):
            total += outputs[member]
            if number == members - 1 and place:
                losses[place, number] = losses[0, number]
            else:
                losses[place, number] = loss(total, number + 1)
    result: list[float] = losses.mean(axis=0).tolist()
    return result


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
