"""Stacking by a random forest on the members' answers, as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from committee.base.limits import at_least
from committee.combiners._stacker import CHOICE_ROWS, Floats, Rows, Stacker
from committee.solvers.forest import check_forest, from_sklearn, in_blocks, leaves, on_grid

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

LEAVES = (1, 3, 10, 30)
"""Least rows in a leaf that are tried."""
TRIAL_TREES = 50
FLOOR = 1e-6
"""Least probability, all classes together: trees can say 0, which no log-loss forgives."""


class StackingRf(Stacker):
    """A random forest (Breiman 2001) on the members' answers: the mean of its trees' shares of the classes.

    scikit-learn fits it; the fitted trees become arrays of nodes, which say what scikit-learn says to 1e-5 in
    probability and export with the ensemble. How many rows a leaf has at least is chosen by the log-loss of a
    cross-validation inside the given rows (5,000 of them at most).

    Parameters
    ----------
    n_estimators : int
        Trees.
    max_depth : int
        Deepest tree.
    features : str
        `log_probability` or `probability`: see `stacking_xgb`.
    extras : bool
        Show each member's entropy and margin, and the members' disagreement, too.
    folds : int
        Folds of that cross-validation, at most.
    seed : int
        Draws them, and the trees' rows and features.

    Raises
    ------
    UsageError
        In `fit`: a forest that would be too large to export, before it is fitted.
    """

    ensemble_name = "stacking_rf"

    def __init__(
        self,
        n_estimators: int = 200,
        max_depth: int = 10,
        features: str = "log_probability",
        extras: bool = False,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(features, extras, folds, seed)
        self.n_estimators = n_estimators
        self.max_depth = max_depth

    def check_size(self, members: int, rows: int, classes: int) -> None:
        """Refuse a forest that may have too many leaf values."""
        at_least(f"{self.key}.n_estimators", self.n_estimators, 1)
        at_least(f"{self.key}.max_depth", self.max_depth, 1)
        nodes = min(2 ** (self.max_depth + 1), 2 * rows)
        check_forest(self.key, self.n_estimators * nodes * classes, "max_depth or n_estimators of rf_config")

    def train_on(
        self, features: Floats, labels: Rows, classes: int, predictions: Predictions
    ) -> dict[str, Any]:
        """Choose the least rows in a leaf, then fit all rows."""
        shown = on_grid(features)
        pairs = self.held_out(predictions)
        losses = {
            least: sum(self._loss(shown, labels, classes, least, *pair) for pair in pairs) for least in LEAVES
        }
        least = min(losses, key=lambda each: losses[each])
        # A forest knows the classes of its rows alone, which here are all of them.
        forest = from_sklearn(self._grow(shown, labels, least, self.n_estimators).estimators_)
        self.set_buffers(**forest.tensors())
        judged = min(len(labels), CHOICE_ROWS)
        by_least = {str(each): loss / judged for each, loss in losses.items()}
        return {"least_rows_in_a_leaf": least, "depth": forest.depth, "log_loss_by_least_rows": by_least}

    def _grow(self, shown: Floats, labels: Rows, least: int, trees: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            trees, max_depth=self.max_depth, min_samples_leaf=least, n_jobs=1, random_state=self.seed % 2**32
        )
        return forest.fit(shown, labels)

    def _loss(
        self, shown: Floats, labels: Rows, classes: int, least: int, others: Rows, held_out: Rows
    ) -> float:
        """Return the log-loss of the rows held out, summed."""
        forest = self._grow(shown[others], labels[others], least, min(TRIAL_TREES, self.n_estimators))
        probs = np.zeros((len(held_out), classes))
        probs[:, forest.classes_] = forest.predict_proba(shown[held_out])
        probs = np.maximum(probs, FLOOR / classes)
        right = probs[np.arange(len(held_out)), labels[held_out]] / probs.sum(axis=1)
        return float(-np.log(right).sum())

    def infer(self, logits: Tensor) -> Tensor:
        """Return what `forward` returns, some rows after the other."""
        return in_blocks(self, logits)

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the log of the mean share of each class in the leaves."""
        value = self.learned("value")
        nodes = self.learned("feature"), self.learned("threshold"), self.learned("left")
        leaf = leaves(features, nodes, self.n_estimators, self._notes["depth"])
        said = value.index_select(0, leaf.reshape(-1)).reshape(*leaf.shape, value.shape[1])
        return said.to(features.dtype).mean(dim=0).clamp_min(FLOOR / value.shape[1]).log()
