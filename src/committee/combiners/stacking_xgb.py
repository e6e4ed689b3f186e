"""Stacking by gradient-boosted trees on the members' outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners._forest_stacker import ForestStacker
from committee.combiners._stacker import AUTO, TUNING_ROWS, Floats, Rows, Trained
from committee.errors import is_installed, require
from committee.solvers.forest import from_xgboost, on_grid

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class StackingXgb(ForestStacker):
    """Gradient-boosted trees (Chen and Guestrin 2016) on the members' outputs, of classes or of numbers.

    XGBoost fits the trees. They are converted to arrays of nodes, whose outputs agree with those of XGBoost
    to 1e-5, and which are exported with the ensemble. XGBoost is not needed after the fit.

    Parameters
    ----------
    n_estimators : int
        Largest number of rounds. The number is tuned by the log-loss (of numbers, the mean squared error in
        units of the variance of the target) of a cross-validation inside the given rows (at most 5,000 of
        them).
    max_depth : int
        Largest depth of a tree.
    learning_rate : float
        Shrinkage of each round.
    features : {"auto", "log_probability", "probability"}
        The form of the members' outputs among the features. Both have the same order, so trees can split
        alike, and "auto" uses log-probabilities. Log-probabilities resolve small values better (1e-3 and
        1e-6), probabilities large ones (0.9 and 0.99).
    extras : bool
        Whether to add the entropy and the margin of each member, and the disagreement of the members.
        They help trees more than other learners, since one split cannot add up many features.
    folds : int
        Largest number of folds of the cross-validation.
    seed : int
        Seed of the folds.

    Raises
    ------
    UsageError
        In `fit`: the forest would be too large to export. It is not fitted.
    DependencyError
        In `fit`: XGBoost is not installed.

    See Also
    --------
    StackingRf : A random forest on the same features.

    Examples
    --------
    >>> from committee.combiners import StackingXgb
    >>> from committee.metrics import evaluate
    >>> from committee.predictions import simulate
    >>> rows = simulate({"a": 2.0, "b": 2.0})
    >>> fitted = StackingXgb(n_estimators=10, max_depth=2).fit(rows)
    >>> evaluate(fitted.combine(rows.logits), rows.labels)["accuracy"] > 0.9
    True
    """

    ensemble_name = "stacking_xgb"
    config = "xgb_config"

    def __init__(
        self,
        n_estimators: int = 100,
        max_depth: int = 6,
        learning_rate: float = 0.1,
        features: str = AUTO,
        extras: bool = False,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(n_estimators, max_depth, features, extras, folds, seed)
        self.learning_rate = learning_rate

    @classmethod
    def examples(cls, members: Sequence[str]) -> list[dict[str, Any]]:
        """Return options for the contract tests; see the base class."""
        return [{"n_estimators": 6, "max_depth": 3}, {"n_estimators": 3, "extras": True}]

    def growth_seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes; each round grows a tree for each class."""
        if not is_installed("xgboost"):
            return math.inf
        return 4.3e-6 * self.n_estimators * classes * (rows * members * classes) ** 0.61

    def train_on(
        self, features: Floats, targets: NDArray[Any], outputs: int, predictions: Predictions
    ) -> Trained:
        """Tune the number of rounds, then fit all rows."""
        rounded, space = on_grid(features), self.task.stacking
        curve = np.zeros(self.n_estimators)
        for others, held_out in self.held_out(predictions):
            losses = self._boost(rounded, targets, outputs, others, self.n_estimators, held_out)[1]
            curve += space.boosting_loss(losses) * len(held_out)
        rounds = int(curve.argmin()) + 1
        booster, _ = self._boost(rounded, targets, outputs, np.arange(len(targets)), rounds)
        forest = from_xgboost(booster.save_raw("json"))
        loss = float(curve[rounds - 1] / min(len(targets), TUNING_ROWS))
        notes = {"rounds": rounds, "depth": forest.depth, space.loss: loss}
        return Trained(forest.tensors(), notes, loss)

    def _boost(
        self,
        rounded: Floats,
        targets: NDArray[Any],
        outputs: int,
        rows: Rows,
        rounds: int,
        held_out: Rows | None = None,
    ) -> tuple[Any, list[float]]:
        """Return a booster fitted on `rows`, and the metric of `held_out` after each round."""
        try:
            import xgboost
        except ImportError:
            raise require("xgboost", "xgboost", "stacking by XGBoost") from None
        found: dict[str, dict[str, list[float]]] = {}
        # With one thread the order of sums, and so the result, is reproducible.
        settings = {
            **self.task.stacking.boosting(outputs),
            "max_depth": self.max_depth,
            "eta": self.learning_rate,
            "tree_method": "hist",
            "nthread": 1,
            "seed": 0,
            "verbosity": 0,
        }
        table = xgboost.DMatrix(rounded[rows], label=targets[rows], nthread=1)
        watched = []
        if held_out is not None:
            watched = [(xgboost.DMatrix(rounded[held_out], label=targets[held_out], nthread=1), "held_out")]
        booster = xgboost.train(
            settings, table, rounds, evals=watched, evals_result=found, verbose_eval=False
        )
        return booster, next(iter(found.get("held_out", {}).values()), [])

    def scores(self, features: Tensor, arranged: Tensor) -> Tensor:
        """Return the sum of the leaf values over the rounds."""
        rounds, outputs = self._notes["rounds"], self.task.stacking.count(self.learned)
        values = self.leaf_values(features, rounds * outputs)
        return values.reshape(rounds, outputs, -1).sum(dim=0).t()
