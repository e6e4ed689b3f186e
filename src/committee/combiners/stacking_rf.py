"""Stacking by a random forest on the members' outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from committee.combiners._forest_stacker import ForestStacker
from committee.combiners._stacker import AUTO, TUNING_ROWS, Floats, Rows, Trained
from committee.solvers.forest import from_sklearn, on_grid

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

LEAVES = (1, 3, 10, 30)
"""The smallest numbers of rows in a leaf that are tried."""
TRIAL_TREES = 50
FLOOR = 1e-6
"""Smallest total probability of all classes: a forest can predict 0, for which the log-loss is infinite."""


class StackingRf(ForestStacker):
    """A random forest (Breiman 2001) on the members' outputs.

    scikit-learn fits the forest. The fitted trees are converted to arrays of nodes, whose probabilities agree
    with those of scikit-learn to 1e-5, and which are exported with the ensemble. The smallest number of rows
    in a leaf is tuned by the log-loss of a cross-validation inside the given rows (at most 5,000 of them).

    Parameters
    ----------
    n_estimators : int
        Number of trees.
    max_depth : int
        Largest depth of a tree.
    features : {"auto", "log_probability", "probability"}
        The form of the members' outputs among the features. See `StackingXgb`.
    extras : bool
        Whether to add the entropy and the margin of each member, and the disagreement of the members.
    folds : int
        Largest number of folds of the cross-validation.
    seed : int
        Seed of the folds, and of the rows and features of the trees.

    Raises
    ------
    UsageError
        In `fit`: the forest would be too large to export. It is not fitted.

    See Also
    --------
    StackingXgb : Gradient-boosted trees on the same features.

    Examples
    --------
    >>> from committee.combiners import StackingRf
    >>> from committee.metrics import evaluate
    >>> from committee.predictions import simulate
    >>> rows = simulate({"a": 2.0, "b": 2.0})
    >>> fitted = StackingRf(n_estimators=10).fit(rows)
    >>> evaluate(fitted.combine(rows.logits), rows.labels)["accuracy"] > 0.9
    True
    """

    ensemble_name = "stacking_rf"
    config = "rf_config"

    def __init__(
        self,
        n_estimators: int = 200,
        max_depth: int = 10,
        features: str = AUTO,
        extras: bool = False,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(n_estimators, max_depth, features, extras, folds, seed)

    @classmethod
    def examples(cls, members: Sequence[str]) -> list[dict[str, Any]]:
        """Return options for the contract tests; see the base class."""
        return [{"n_estimators": 20}]

    def growth_seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes; a tree sees the square root of the number of features."""
        return self.n_estimators * (4e-3 + 2e-6 * rows * math.sqrt(members * classes))

    def train_on(self, features: Floats, labels: Rows, classes: int, predictions: Predictions) -> Trained:
        """Tune the smallest number of rows in a leaf, then fit all rows."""
        rounded = on_grid(features)
        pairs = self.held_out(predictions)
        losses = {
            least: sum(self._loss(rounded, labels, classes, least, *pair) for pair in pairs)
            for least in LEAVES
        }
        least = min(losses, key=lambda each: losses[each])
        # The columns of the values are the classes that have rows, because all of them are in the fit.
        forest = from_sklearn(self._grow(rounded, labels, least, self.n_estimators).estimators_)
        count = min(len(labels), TUNING_ROWS)
        by_least = {str(each): loss / count for each, loss in losses.items()}
        notes = {"least_rows_in_a_leaf": least, "depth": forest.depth, "log_loss_by_least_rows": by_least}
        return Trained(forest.tensors(), notes, by_least[str(least)])

    def _grow(self, rounded: Floats, labels: Rows, least: int, trees: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            trees, max_depth=self.max_depth, min_samples_leaf=least, n_jobs=1, random_state=self.seed % 2**32
        )
        return forest.fit(rounded, labels)

    def _loss(
        self, rounded: Floats, labels: Rows, classes: int, least: int, others: Rows, held_out: Rows
    ) -> float:
        """Return the sum of the log-loss over the held-out rows."""
        forest = self._grow(rounded[others], labels[others], least, min(TRIAL_TREES, self.n_estimators))
        probs = np.zeros((len(held_out), classes))
        probs[:, forest.classes_] = forest.predict_proba(rounded[held_out])
        probs = np.maximum(probs, FLOOR / classes)
        right = probs[np.arange(len(held_out)), labels[held_out]] / probs.sum(axis=1)
        return float(-np.log(right).sum())

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the log of the mean class frequency over the leaves."""
        mean = self.leaf_values(features, self.n_estimators).mean(dim=0)
        return mean.clamp_min(FLOOR / mean.shape[1]).log()
