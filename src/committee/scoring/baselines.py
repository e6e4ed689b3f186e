"""Gains over the best single member, whose choice is a part of what is resampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from committee.predictions.table import Predictions
from committee.scoring.draws import Draws
from committee.scoring.gains import (
    Floats,
    Gain,
    LogProbs,
    corrected,
    discordant,
    paired,
    signed_influences,
    signed_values,
)
from committee.scoring.resamples import Resamples
from committee.scoring.singles import Folds, Singles
from committee.tasks.base import task_of

MOST_SORTED = 2**24
"""Logits of all members above which areas under ROC curves, for which they are sorted, are not compared."""


@dataclass(frozen=True, eq=False)
class _Baseline:
    """The best single member of each fold by one metric, such that larger is better.

    Of its rows, only what a gain in this metric needs is kept: log-probabilities are large.
    """

    predicted: NDArray[np.int64] | None
    correct: NDArray[np.bool_] | None
    value: float
    sums: Floats
    draws: Floats
    name: str


class Baselines:
    """The best single member by each metric, resampled once for all candidates.

    Parameters
    ----------
    predictions : Predictions
        Labeled rows that no member was trained on.
    folds : int64 array [N]
        The folds in which the best member is chosen.
    seed : int
        Seed of the bootstrap.

    See Also
    --------
    best_single : The predictions of the best single member.
    gain : The gain over a fixed baseline.

    Notes
    -----
    The member of a fold is chosen from the rows of the other folds. If members are about equally good, this
    choice is random, and what chance does in one fold decides the choice for the others. So the variance of a
    gain is larger than that of the difference from a fixed member. It is estimated by choosing again in each
    resample. There, all members count as equally good that the data cannot tell from the best one (Hansen
    2005): in a plain bootstrap, chance differences between members would be true ones.

    Metrics that are not means over rows are linearized in the resamples.

    References
    ----------
    P. R. Hansen (2005). A test for superior predictive ability. Journal of Business & Economic Statistics 23,
    365-380.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.predictions import simulate
    >>> from committee.scoring import Baselines
    >>> rows = simulate({"a": 2.0, "b": 2.0}, rows=200)
    >>> baselines = Baselines(rows, folds=np.arange(200) % 5, seed=0)
    >>> perfect = np.log(np.eye(3)[rows.labels] * 0.97 + 0.01).astype(np.float32)
    >>> gains, draws = baselines.gains(perfect)
    >>> gains["accuracy"].proven, draws.gains.shape == (len(gains), 1000)
    (True, True)
    """

    def __init__(self, predictions: Predictions, folds: Folds, seed: int) -> None:
        predictions.require_unseen("best_single")
        self._task = task_of(predictions)
        self._singles = Singles(predictions, folds)
        self._resamples = Resamples.draw(self._singles.fold, predictions.groups, seed)
        self._has_groups = predictions.groups is not None
        self._found: dict[bool, dict[str, _Baseline]] = {}

    def gains(self, log_probs: LogProbs, calibrated: bool = False) -> tuple[dict[str, Gain], Draws]:
        """Return the gains of log-probabilities `[N, C]` of the same rows over the best single member.

        With `calibrated`, each member is calibrated inside the folds before the best of them is chosen.

        Returns
        -------
        gains : dict of str to Gain
            By metric. Left out are metrics without `influence`, metrics that are not defined on these rows,
            and the area under the ROC curve of more than 16.8 million logits.
        draws : Draws
            Of the same metrics.
        """
        rows = self._task.read(log_probs, self._singles.labels)
        bases = self._baselines(calibrated)
        values = dict(zip(bases, signed_values(rows, list(bases)), strict=True))
        bases = {name: base for name, base in bases.items() if np.isfinite(values[name])}
        sums = self._resamples.sums(signed_influences(rows, list(bases)))
        scores = _centered(self._resamples.means(sums))
        gains, draws = {}, []
        for place, (name, base) in enumerate(bases.items()):
            draws.append(scores[:, place] - base.draws)
            error = np.sqrt(corrected(draws[-1].var(), self._resamples.units))
            difference = values[name] - base.value, float(error), sums[:, place] - base.sums
            gains[name] = paired(name, *difference, base.name, *self._changed(rows, base))
        return gains, Draws(tuple(gains), scores.T.astype(np.float32), np.array(draws, np.float32))

    def _changed(self, rows: Any, base: _Baseline) -> tuple[tuple[int, int] | None, NDArray[np.bool_] | None]:
        """Return the counts of an exact test, and the units in which predicted classes differ, or None."""
        counts = None if base.correct is None else discordant(rows.correct, base.correct)
        if base.predicted is None:
            return counts, None
        return counts, self._resamples.any(rows.predicted != base.predicted)

    def _baselines(self, calibrated: bool) -> dict[str, _Baseline]:
        if calibrated not in self._found:
            plain = self._baselines(False) if calibrated else {}
            changed = [
                name for name in self._metrics() if not (calibrated and self._task.metric(name).by_class)
            ]
            both = {**plain, **self._chosen(changed, calibrated)}
            self._found[calibrated] = {name: both[name] for name in self._task.metrics if name in both}
        return self._found[calibrated]

    def _metrics(self) -> list[str]:
        known = [name for name, metric in self._task.metrics.items() if metric.influence is not None]
        return known if self._singles.size <= MOST_SORTED else [name for name in known if name != "auroc"]

    def _chosen(self, metrics: Sequence[str], calibrated: bool) -> dict[str, _Baseline]:
        """Return the baseline of each metric that is defined."""
        value, others, sums = [], [], []
        for member in range(len(self._singles.names)):
            rows = self._singles.rows(member, calibrated)
            value.append(signed_values(rows, metrics))
            others.append(self._singles.others(rows, metrics))
            sums.append(self._resamples.sums(signed_influences(rows, metrics)))
        values, parts = np.stack(value, axis=1), np.stack(others).transpose(2, 1, 0)
        draws = {
            name: draws_of_best(
                values[place], np.stack([each[:, place] for each in sums], axis=1), self._resamples
            )
            for place, name in enumerate(metrics)
            if np.isfinite(values[place]).all() and np.isfinite(parts[place]).all()
        }
        choices = {name: tuple(parts[metrics.index(name)].argmax(axis=1).tolist()) for name in draws}
        return self._composed(choices, draws, calibrated)

    def _composed(
        self, choices: Mapping[str, tuple[int, ...]], draws: Mapping[str, Floats], calibrated: bool
    ) -> dict[str, _Baseline]:
        what = "best single member, calibrated" if calibrated else "best single member"
        result = {}
        for chosen in set(choices.values()):
            names = [name for name in choices if choices[name] == chosen]
            rows = self._task.read(self._singles.composite(chosen, calibrated), self._singles.labels)
            sums = self._resamples.sums(signed_influences(rows, names))
            members = ", ".join(self._singles.names[member] for member in sorted(set(chosen)))
            for place, (name, value) in enumerate(zip(names, signed_values(rows, names), strict=True)):
                own = self._of_classes(name, rows)
                result[name] = _Baseline(*own, value, sums[:, place], draws[name], f"{what} ({members})")
        return result

    def _of_classes(
        self, metric: str, rows: Any
    ) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None]:
        """Return the predicted classes, and whether they are correct, if gains in a metric need them."""
        known = self._task.metric(metric)
        is_exact = known.is_count and not self._has_groups
        return rows.predicted if known.by_class else None, rows.correct if is_exact else None


def draws_of_best(values: Floats, sums: Floats, resamples: Resamples) -> Floats:
    """Return draws `[R]`, with a mean of zero, of the metric of the member that is best on the other folds.

    Parameters
    ----------
    values : float array [M]
        The metric of each member, such that larger is better.
    sums : float array [U, M]
        Influences of the members, summed over each unit.
    resamples : Resamples
    """
    best = int(values.argmax())
    differences = ((sums - sums[:, [best]]) ** 2).sum(axis=0)
    noise = np.sqrt([corrected(each, resamples.units) for each in differences]) / len(resamples.unit)
    reach = np.sqrt(2 * np.log(np.log(max(resamples.units, 16))))
    values = np.where(values >= values[best] - reach * noise, values[best], values)
    # The sum over the rows of each fold of each resample, and over the rows of its other folds.
    inside = resamples.by_fold(sums) + resamples.rows[:, :, None] * values
    outside = inside.sum(axis=1, keepdims=True) - inside
    chosen = outside.argmax(axis=2)[:, :, None]
    return _centered(np.take_along_axis(inside, chosen, axis=2).sum(axis=(1, 2)) / resamples.rows.sum(axis=1))


def _centered(draws: Floats) -> Floats:
    return draws - draws.mean(axis=0)


_known: WeakKeyDictionary[Predictions, tuple[Folds, int, Baselines]] = WeakKeyDictionary()


def baselines(predictions: Predictions, folds: Folds, seed: int) -> Baselines:
    """Return the baselines of predictions; those of the last folds and seed are computed once."""
    if predictions in _known:
        known, of_seed, found = _known[predictions]
        if of_seed == seed and np.array_equal(known, folds):
            return found
    found = Baselines(predictions, folds, seed)
    _known[predictions] = folds, seed, found
    return found
