"""The result of a combination of predictions: all methods with their scores, best first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.figures import interval_figure
from committee.base.tables import for_notebook
from committee.combiners.base import Combiner, build
from committee.errors import UsageError
from committee.metrics.named import get_metric
from committee.predictions.table import Predictions
from committee.scoring.choice import choose, contenders
from committee.scoring.scores import Scores
from committee.tasks.base import Task, task_of


@dataclass(frozen=True, eq=False)
class Combined:
    """A fitted and scored combination method.

    Attributes
    ----------
    method : str
        The key of the combiner, or the name that the caller gave the method.
    combiner : Combiner
        The combiner, fitted on all rows, with its calibration.
    scores : Scores
        Cross-fitted metrics, their gains over the best single member, and the metrics on the rows of the fit.
    calibration : dict or None
        The effect of calibration: `method`, and the cross-fitted `log_loss` and `ece`, each `before` and
        `after`.

    See Also
    --------
    Combination : All methods on the same predictions.
    """

    method: str
    combiner: Combiner
    scores: Scores
    calibration: dict[str, Any] | None

    def __repr__(self) -> str:
        return f"Combined({self.method!r}, members={len(self.combiner.member_names)}, {self.scores!r})"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: method, members, weights, notes, calibration and scores."""
        return {
            "method": self.method,
            "members": list(self.combiner.member_names),
            "weights": self.combiner.member_weights(),
            "notes": self.combiner.notes(),
            "calibration": self.calibration,
            "scores": self.scores.to_json(),
        }


@dataclass(frozen=True, eq=False)
class Combination:
    """All methods, applied to the same predictions.

    Attributes
    ----------
    predictions : Predictions
        The joined predictions of the members.
    methods : list of Combined
        The methods, best cross-fitted `metric` first. A cascade comes after the vote of all members, unless
        it is better by more than chance.
    metric : str
        The metric that ranks the methods.
    test : Predictions or None
        The members' predictions of the test rows.

    See Also
    --------
    combine : Return this result.
    """

    predictions: Predictions
    methods: list[Combined]
    metric: str
    test: Predictions | None

    def __repr__(self) -> str:
        """Return the winner, its score, and how much was combined."""
        best = self.best.scores.cross_fitted[self.metric]
        return (
            f"Combination(best={self.best.method!r}, {self.metric}={best.value:.4g} [{best.low:.4g}, "
            f"{best.high:.4g}], methods={len(self.methods)}, members={len(self.predictions.members)}, "
            f"rows={len(self.predictions)})"
        )

    def _repr_html_(self) -> str:
        """Return the methods, best first, as a table of HTML, for notebooks."""
        rows = [
            [
                each.method,
                f"{found.value:.4g} [{found.low:.4g}, {found.high:.4g}]",
                each.scores.gain[self.metric].text if self.metric in each.scores.gain else "",
            ]
            for each in self.methods
            for found in (each.scores.cross_fitted[self.metric],)
        ]
        columns = ["method", f"{self.metric}, cross-fitted", "gain over the best single member"]
        return for_notebook(columns, rows, repr(self))

    def plot(self) -> Any:
        """Return a figure of matplotlib with the cross-fitted metric of each method, and its interval.

        Raises
        ------
        DependencyError
            Matplotlib is not installed.
        """
        names = [each.method for each in self.methods]
        found = [each.scores.cross_fitted[self.metric] for each in self.methods]
        return interval_figure(names, found, f"{self.metric}, cross-fitted", "a plot of methods")

    @property
    def task(self) -> Task:
        """What is predicted: classes, or numbers."""
        return task_of(self.predictions)

    @cached_property
    def best(self) -> Combined:
        """The winner: of the methods whose metric cannot be told from the best one, that of fewest networks.

        See `committee.scoring.choice.choose`.
        """
        name = choose(contenders(self.methods, self.metric))[0].name
        return next(each for each in self.methods if each.method == name)

    @cached_property
    def alone(self) -> dict[str, dict[str, float]]:
        """The metrics of each member alone, best member first."""
        labels, rows = self.predictions.require_labels("combine"), self.predictions.logits
        mean = build("soft_voting").assign(self.task)
        shown = dict.fromkeys((*self.task.brief, self.metric))
        found = {
            name: self.task.evaluate(mean.combine(rows[place : place + 1]), labels, shown)
            for place, name in enumerate(self.predictions.members)
        }
        return dict(sorted(found.items(), key=lambda item: _rank(item[1][self.metric], self.metric)))

    def test_probabilities(self) -> NDArray[np.float32]:
        """Return the probabilities that the best method gives the test rows, float32 `[N, C]`.

        Raises
        ------
        UsageError
            There are no predictions of test rows, or they are numbers.
        """
        if "probabilities" not in self.task.formats:
            raise UsageError(
                "test_probabilities",
                expected="predictions of classes",
                got=f"predictions of {self.task.target_type.name}",
                todo="Use test_outputs().",
            )
        return self.test_outputs()

    def test_outputs(self) -> NDArray[np.float32]:
        """Return what the best method predicts for the test rows, float32 `[N, C]`.

        These are the probabilities of the classes, or the numbers of the targets, in their own units.

        Raises
        ------
        UsageError
            There are no predictions of test rows.
        """
        if self.test is None:
            raise UsageError("combine", expected="test files", got="none")
        return self.task.linked(self.best.combiner.combine(self.test.logits))


def _rank(value: float, metric: str) -> float:
    """Return a sort key that puts the best value first, and NaN last."""
    if math.isnan(value):
        return math.inf
    return -value if get_metric(metric).higher_is_better else value
