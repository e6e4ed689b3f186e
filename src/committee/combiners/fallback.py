"""Fallback: a rule that is used only where it is proven better than a simpler one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from committee.base.limits import a_share, above_zero
from committee.combiners.base import Combiner, Query, build
from committee.errors import UsageError
from committee.metrics.means import mean_interval
from committee.solvers.cross_fit import CrossFits, network_folds

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

LogProbs = NDArray[np.float32]


class Fallback(Combiner):
    """Use `inner` if it is proven better than `fallback` on the rows of the fit, and else `fallback`.

    Both are cross-fitted inside the given rows. `inner` is used if the interval of its gain in log-loss lies
    above zero, and that of its gain in accuracy not below zero; of numbers, if the interval of its gain in
    the root mean squared error lies above zero. Since the decision is part of the fit, cross-fitted scores of
    this combiner include it.

    Parameters
    ----------
    inner, fallback : Combiner, str or mapping
        Combiners, their keys, or `{"combiner": key, **options}`. Each may use some of the members.
    calibrate : bool
        Whether both are compared after temperature scaling inside the folds, so that a gain is not that of
        more or less confident probabilities. Numbers have no temperature.
    confidence : float
        Confidence level of the intervals, above 0 and below 1.
    seed : int
        Seed of the folds, where the rows have none.

    See Also
    --------
    Pruned : A choice among subsets of the members.
    committee.pipeline.stages.tta.Tta : Views that are left out unless they are proven to help.

    Examples
    --------
    >>> from committee.combiners import Fallback
    >>> from committee.predictions import simulate
    >>> rows = simulate({"good": 2.0, "also_good": 2.0, "random": 0.0}, rows=500)
    >>> good = {"combiner": "subset", "members": ["good"]}
    >>> for other in ("also_good", "random"):
    ...     both = {"combiner": "subset", "members": ["good", other]}
    ...     print(Fallback(both, good).fit(rows).notes()["used"])
    inner
    fallback
    """

    serves: ClassVar[tuple[str, ...]] = ("classes", "numbers")

    def __init__(
        self,
        inner: Combiner | str | Mapping[str, Any],
        fallback: Combiner | str | Mapping[str, Any],
        calibrate: bool = True,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.inner, self.fallback = build(inner), build(fallback)
        self.calibrate, self.seed = calibrate, seed
        self.confidence = confidence
        self.calibrates = self.inner.calibrates or self.fallback.calibrates

    @classmethod
    def examples(cls, members: Sequence[str]) -> list[dict[str, Any]]:
        """Return options for the contract tests: one of which each rule is used; see the base class."""
        one = {"combiner": "subset", "members": [members[0]]}
        return [{"inner": "soft_voting", "fallback": one}, {"inner": one, "fallback": "weighted"}]

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members here and in both rules."""
        self.inner.bind(members)
        self.fallback.bind(members)
        return super().bind(members)

    def _fit(self, predictions: Predictions) -> None:
        """Compare both rules on cross-fitted outputs, and fit the one that is used on all rows."""
        a_share("fallback.confidence", above_zero("fallback.confidence", self.confidence))
        rules = [self._compared(self.inner), self._compared(self.fallback)]
        fits = CrossFits(rules, predictions, network_folds(predictions, self.seed))
        better, plain = (fits.held_out(rule) for rule in rules)
        gains = self._gains(better, plain, predictions)
        first, *others = gains.values()
        proven = first["low"] > 0 and all(gain["high"] >= 0 for gain in others)
        self._notes = {"used": "inner" if proven else "fallback", "gains": gains}
        self._used().fit(predictions)

    def _compared(self, rule: Combiner) -> Combiner:
        scaled = self.calibrate and len(self.task.calibrations) > 1
        return build({"combiner": "temperature", "inner": rule.clone()}) if scaled else rule

    def _gains(
        self, better: LogProbs, plain: LogProbs, predictions: Predictions
    ) -> dict[str, dict[str, float]]:
        """Return the differences of metrics with their limits; positive is better."""
        labels = predictions.require_labels(self.key)
        one, other = (self.task.read(outputs, labels) for outputs in (better, plain))
        gains = {}
        for name in self.task.proof:
            metric = self.task.metric(name)
            mine, theirs = (metric.function(rows.whole) + metric.influence(rows) for rows in (one, other))
            difference = metric.sign * (mine - theirs)
            gains[name] = asdict(mean_interval(difference, predictions.groups, self.confidence))
        return gains

    def _used(self) -> Combiner:
        if "used" not in self._notes:
            raise UsageError(
                self.key,
                expected="a fitted combiner",
                got="an unfitted one",
                todo="Call fit(predictions) first.",
            )
        return self.inner if self._notes["used"] == "inner" else self.fallback

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        output: Tensor = self._used()(logits)
        return output

    def forward_lazy(self, query: Query) -> Tensor:
        """Return the same as `forward`, requesting the logits that the rule requests."""
        return self._used().forward_lazy(query)

    def restrict_to_used(self) -> Combiner:
        """Return the rule that is used, for the members that it uses, with the notes of the comparison."""
        return self._used().restrict_to_used()

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes; both rules are fitted without each of 5 folds."""
        return 6 * sum(rule.seconds(members, rows, classes) for rule in (self.inner, self.fallback))

    def member_weights(self) -> dict[str, float] | None:
        """Return the weights of the rule that is used."""
        return self._used().member_weights()

    def notes(self) -> dict[str, Any]:
        """Return which rule is used, its gains, and its notes."""
        return {**self._notes, "rule": self._used().notes()} if self._notes else {}
