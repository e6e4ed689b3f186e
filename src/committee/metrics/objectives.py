"""The metrics that weights and selections of members can optimize."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from committee.base.objectives import OBJECTIVES, PREFIX, is_custom
from committee.errors import DataError, UsageError, nearest
from committee.metrics.classification import evaluate, get_metric
from committee.metrics.custom import CustomMetric


@dataclass(frozen=True)
class Objective:
    """A metric of log-probabilities that a fit optimizes.

    Attributes
    ----------
    name : str
        One of `committee.base.objectives.OBJECTIVES`, or `python:module.function`.
    higher_is_better : bool
        Whether larger values are better.
    custom : CustomMetric or None
        The function of the user.

    See Also
    --------
    committee.metrics.custom.CustomMetric : Functions of the user.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics.objectives import Objective
    >>> brier = Objective.named("brier", who="weighted.metric")
    >>> brier.value(np.log([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 0])), brier.higher_is_better
    (0.3125, False)
    """

    name: str
    higher_is_better: bool
    custom: CustomMetric | None = None

    @classmethod
    def named(cls, name: str, who: str) -> Objective:
        """Return the objective of a name; a function of the user is imported.

        Raises
        ------
        UsageError
            The name is unknown, or the function cannot be imported.
        """
        check_objective(name, who)
        if is_custom(name):
            custom = CustomMetric.load(name, who)
            return cls(name, custom.higher_is_better, custom)
        return cls(name, get_metric(name).higher_is_better)

    def value(self, log_probs: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
        """Return the metric of log-probabilities `[N, C]`.

        Raises
        ------
        DataError
            The metric is not defined for these rows.
        """
        if self.custom is not None:
            return self.custom.value(log_probs, labels)
        found = evaluate(log_probs, labels, [self.name])[self.name]
        if math.isnan(found):
            raise DataError(
                self.name,
                expected="rows of at least two classes",
                got=f"{len(labels)} rows, for which it is not defined",
                todo="Use fewer folds, or another metric.",
            )
        return found


def check_objective(name: str, who: str) -> None:
    """Raise a UsageError unless `name` is an objective; functions are not imported."""
    if not isinstance(name, str) or not (name in OBJECTIVES or is_custom(name)):
        raise UsageError(
            who,
            expected=f"one of {', '.join(OBJECTIVES)}, or {PREFIX}module.function",
            got=f"'{name}'",
            todo=nearest(str(name), OBJECTIVES),
        )
