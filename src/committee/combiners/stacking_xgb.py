"""Stacking by gradient-boosted trees on the members' outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from committee.combiners._forest_stacker import ForestStacker
from committee.combiners._stacker import AUTO, TUNING_ROWS, Floats, Rows, Trained
from committee.errors import require
from committee.solvers.forest import from_xgboost, on_grid

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class StackingXgb(ForestStacker):
    """Gradient-boosted trees (Chen and Guestrin 2016) on the members' outputs.

    XGBoost fits the trees. They are converted to arrays of nodes, whose probabilities agree with those of
    XGBoost to 1e-5, and which are exported with the ensemble. XGBoost is not needed after the fit.

    Parameters
    ----------
    n_estimators : int
        Largest number of rounds. The number is tuned by the log-loss of a cross-validation inside the given
        rows (at most 5,000 of them).
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
        if find_spec("xgboost") is None:
            return math.inf
        return 4.3e-6 * self.n_estimators * classes * (rows * members * classes) ** 0.61

    def train_on(self, features: Floats, labels: Rows, classes: int, predictions: Predictions) -> Trained:
        """Tune the number of rounds, then fit all rows."""
        rounded = on_grid(features)
        curve = np.zeros(self.n_estimators)
        for others, held_out in self.held_out(predictions):
            losses = self._boost(rounded, labels, classes, others, self.n_estimators, held_out)[1]
            curve += np.array(losses) * len(held_out)
        rounds = int(curve.argmin()) + 1
        booster, _ = self._boost(rounded, labels, classes, np.arange(len(labels)), rounds)
        forest = from_xgboost(booster.save_raw("json"))
        loss = float(curve[rounds - 1] / min(len(labels), TUNING_ROWS))
        return Trained(forest.tensors(), {"rounds": rounds, "depth": forest.depth, "log_loss": loss}, loss)

    def _boost(
        self,
        rounded: Floats,
        labels: Rows,
        classes: int,
        rows: Rows,
        rounds: int,
        held_out: Rows | None = None,
    ) -> tuple[Any, list[float]]:
        """Return a booster fitted on `rows`, and the log-loss of `held_out` after each round."""
        try:
            import xgboost
        except ImportError:
            raise require("xgboost", "xgboost", "stacking by XGBoost") from None
        found: dict[str, dict[str, list[float]]] = {}
        # With one thread the order of sums, and so the result, is reproducible. The initial score is the same
        # for all classes, so it cancels in the softmax.
        settings = {
            "objective": "multi:softprob",
            "num_class": classes,
            "eval_metric": "mlogloss",
            "base_score": 0.5,
            "max_depth": self.max_depth,
            "eta": self.learning_rate,
            "tree_method": "hist",
            "nthread": 1,
            "seed": 0,
            "verbosity": 0,
        }
        table = xgboost.DMatrix(rounded[rows], label=labels[rows], nthread=1)
        watched = []
        if held_out is not None:
            watched = [(xgboost.DMatrix(rounded[held_out], label=labels[held_out], nthread=1), "held_out")]
        booster = xgboost.train(
            settings, table, rounds, evals=watched, evals_result=found, verbose_eval=False
        )
        return booster, found.get("held_out", {}).get("mlogloss", [])

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the sum of the leaf values over the rounds."""
        rounds, classes = self._notes["rounds"], len(self.learned("known_places"))
        values = self.leaf_values(features, rounds * classes)
        return values.reshape(rounds, classes, -1).sum(dim=0).t()
