"""Predictions of the best single member, which is chosen for each fold on the other folds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base.objectives import AUTO
from committee.predictions.table import Predictions
from committee.scoring.gains import Floats, LogProbs, signed_values
from committee.solvers.columns import by_name
from committee.solvers.newton import best_temperature
from committee.tasks.base import task_of

MOST_FITTED = 2**21
"""Values `N * C` that a temperature of a single member is fitted on at most."""

TILE = 2**18
"""Values that are normalized at once."""

Folds = NDArray[np.int64]


def best_single(
    predictions: Predictions, folds: Folds, metric: str = AUTO, *, calibrated: bool = False
) -> tuple[LogProbs, dict[int, str]]:
    """Return the predictions of the best member, which is chosen for each fold on the other folds.

    Parameters
    ----------
    predictions : Predictions
        Labeled rows that no member was trained on.
    folds : int64 array [N]
        Fold of each row.
    metric : str
        The metric of the choice, by default the first objective of the task. Ties are broken by member name.
    calibrated : bool
        Whether each member gets a temperature, fitted on the other folds, before one of them is chosen.

    Returns
    -------
    log_probs : float32 array [N, C]
    chosen : dict of int to str
        Name of the member by fold.

    Raises
    ------
    LeakError
        A member was trained on one of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.predictions import simulate
    >>> from committee.scoring import best_single
    >>> log_probs, chosen = best_single(simulate({"a": 3.0, "b": 1.0}, rows=200), np.arange(200) % 2)
    >>> log_probs.shape, chosen
    ((200, 3), {0: 'a', 1: 'a'})
    """
    predictions.require_unseen("best_single")
    singles = Singles(predictions, folds)
    metric = task_of(predictions).objectives[0] if metric == AUTO else metric
    others = [
        singles.others(singles.rows(member, calibrated), [metric])[:, 0]
        for member in range(len(singles.names))
    ]
    chosen = tuple(np.argmax(others, axis=0).tolist())
    names = dict(zip(np.unique(folds).tolist(), (singles.names[member] for member in chosen), strict=True))
    return singles.composite(chosen, calibrated), names


class Singles:
    """Single members in the order of their names, on request with a temperature of their own in each fold.

    Attributes
    ----------
    names : list of str
    labels, fold : int64 array [N]
        Class index, and fold from 0, of each row.
    """

    def __init__(self, predictions: Predictions, folds: Folds) -> None:
        order = by_name(predictions)
        self.names = [predictions.members[member] for member in order]
        self.labels = predictions.require_labels("best_single")
        self.fold = np.unique(folds, return_inverse=True)[1]
        self._logits, self._order = predictions.logits, order
        self._task = task_of(predictions)
        self._temperatures = cache(self._fitted)

    @property
    def size(self) -> int:
        """Number of logits of all members."""
        return int(self._logits.size)

    def rows(self, member: int, calibrated: bool) -> Any:
        """Return the values of each row of a member."""
        return self._task.read(self._log_probs(member, calibrated), self.labels)

    def others(self, rows: Any, metrics: Sequence[str]) -> Floats:
        """Return metrics of the rows outside each fold, `[F, K]`, with a sign such that larger is better."""
        folds = range(int(self.fold.max()) + 1)
        return np.array([signed_values(rows.part(self.fold != fold), metrics) for fold in folds])

    def composite(self, chosen: tuple[int, ...], calibrated: bool) -> LogProbs:
        """Return log-probabilities `[N, C]` of the member that is chosen for each fold."""
        result = np.empty(self._logits.shape[1:], np.float32)
        for member in set(chosen):
            mine = np.isin(self.fold, np.flatnonzero(np.array(chosen) == member))
            result[mine] = self._log_probs(member, calibrated)[mine]
        return result

    def _log_probs(self, member: int, calibrated: bool) -> LogProbs:
        result = np.empty(self._logits.shape[1:], np.float32)
        step = max(16, TILE // max(1, int(np.prod(result.shape[1:]))))
        for start in range(0, len(result), step):  # what is read stays in the cache for all passes over it
            span = slice(start, start + step)
            outputs = torch.from_numpy(np.array(self._logits[self._order[member], span]))
            found = self._task.normalized(outputs)
            if calibrated:
                temperature = torch.from_numpy(self._temperatures(member)[self.fold[span], None])
                found = (found / temperature).log_softmax(dim=1)
            result[span] = found.numpy()
        return result

    def _fitted(self, member: int) -> NDArray[np.float32]:
        """Return the temperature of each fold, fitted on the other folds."""
        logits, result = self._logits[self._order[member]], []
        for fold in range(int(self.fold.max()) + 1):
            others = np.flatnonzero(self.fold != fold)
            # A temperature is one number: some thousand rows determine it, if there are many classes.
            some = others[:: max(1, len(others) * logits.shape[1] // MOST_FITTED)]
            result.append(best_temperature(np.asarray(logits[some]), self.labels[some]))
        return np.array(result, np.float32)
