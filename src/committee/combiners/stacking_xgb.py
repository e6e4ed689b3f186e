"""Stacking by XGBoost: boosted trees on the members' answers, as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from committee.base.limits import at_least
from committee.combiners._stacker import CHOICE_ROWS, Floats, Rows, Stacker
from committee.errors import require
from committee.solvers.forest import check_forest, from_xgboost, in_blocks, leaves, on_grid

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class StackingXgb(Stacker):
    """Gradient-boosted trees (Chen and Guestrin 2016) on the members' answers (Wolpert 1992).

    XGBoost fits them; the fitted trees become arrays of nodes, which say what XGBoost says to 1e-5 in
    probability, export with the ensemble, and need XGBoost no more.

    Parameters
    ----------
    n_estimators : int
        Rounds at most; how many is chosen by the log-loss of a cross-validation inside the given rows (5,000
        of them at most).
    max_depth : int
        Deepest tree.
    learning_rate : float
        Shrinkage of each round.
    features : str
        `log_probability`, or `probability`. Trees split alike on both, since one grows with the other; they
        differ in how finely very small and very large probabilities are told apart: log-probabilities tell
        apart 1e-3 and 1e-6, probabilities 0.9 and 0.99.
    extras : bool
        Show each member's entropy and margin, and the members' disagreement, too. Trees cannot add up many
        features in one split, so this helps them more than other learners.
    folds : int
        Folds of that cross-validation, at most.
    seed : int
        Draws them.

    Raises
    ------
    UsageError
        In `fit`: a forest that would be too large to export, before it is fitted.
    DependencyError
        In `fit`: XGBoost is not installed.
    """

    ensemble_name = "stacking_xgb"

    def __init__(
        self,
        n_estimators: int = 100,
        max_depth: int = 6,
        learning_rate: float = 0.1,
        features: str = "log_probability",
        extras: bool = False,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(features, extras, folds, seed)
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate

    def check_size(self, members: int, rows: int, classes: int) -> None:
        """Refuse a forest that may have too many nodes."""
        at_least(f"{self.key}.n_estimators", self.n_estimators, 1)
        at_least(f"{self.key}.max_depth", self.max_depth, 1)
        nodes = min(2 ** (self.max_depth + 1), 2 * rows)
        check_forest(self.key, self.n_estimators * classes * nodes, "max_depth or n_estimators of xgb_config")

    def train_on(
        self, features: Floats, labels: Rows, classes: int, predictions: Predictions
    ) -> dict[str, Any]:
        """Choose the number of rounds, then fit all rows."""
        shown = on_grid(features)
        curve = np.zeros(self.n_estimators)
        for others, held_out in self.held_out(predictions):
            losses = self._boost(shown, labels, classes, others, self.n_estimators, held_out)[1]
            curve += np.array(losses) * len(held_out)
        rounds = int(curve.argmin()) + 1
        booster, _ = self._boost(shown, labels, classes, np.arange(len(labels)), rounds)
        forest = from_xgboost(booster.save_raw("json"))
        self.set_buffers(**forest.tensors())
        judged = min(len(labels), CHOICE_ROWS)
        return {"rounds": rounds, "depth": forest.depth, "log_loss": float(curve[rounds - 1] / judged)}

    def _boost(
        self, shown: Floats, labels: Rows, classes: int, rows: Rows, rounds: int, held_out: Rows | None = None
    ) -> tuple[Any, list[float]]:
        """Return a booster of `rows`, and the log-loss of `held_out` after each round."""
        try:
            import xgboost
        except ImportError:
            raise require("xgboost", "xgboost", "stacking by XGBoost") from None
        found: dict[str, dict[str, list[float]]] = {}
        # One thread: with more, sums are added in another order, and bytes do not repeat. An equal start for
        # all classes falls out of the softmax.
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
        table = xgboost.DMatrix(shown[rows], label=labels[rows], nthread=1)
        watched = []
        if held_out is not None:
            watched = [(xgboost.DMatrix(shown[held_out], label=labels[held_out], nthread=1), "held_out")]
        booster = xgboost.train(
            settings, table, rounds, evals=watched, evals_result=found, verbose_eval=False
        )
        return booster, found.get("held_out", {}).get("mlogloss", [])

    def infer(self, logits: Tensor) -> Tensor:
        """Return what `forward` returns, some rows after the other."""
        return in_blocks(self, logits)

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the sum over rounds of what the leaves say."""
        rounds, classes = self._notes["rounds"], len(self.learned("known_places"))
        nodes = self.learned("feature"), self.learned("threshold"), self.learned("left")
        leaf = leaves(features, nodes, rounds * classes, self._notes["depth"])
        said = self.learned("value")[:, 0].index_select(0, leaf.reshape(-1)).to(features.dtype)
        return said.reshape(rounds, classes, -1).sum(dim=0).t()
