"""Stacking by a random forest on the members' outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import Tensor

from committee.combiners._forest_stacker import ForestStacker
from committee.combiners._stacker import AUTO, TUNING_ROWS, Floats, Rows, Trained
from committee.solvers.forest import from_sklearn, on_grid

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

LEAVES = (1, 3, 10, 30)
"""The smallest numbers of rows in a leaf that are tried."""
TRIAL_TREES = 50


class StackingRf(ForestStacker):
    """A random forest (Breiman 2001) on the members' outputs, of classes or of numbers.

    scikit-learn fits the forest. The fitted trees are converted to arrays of nodes, whose outputs agree with
    those of scikit-learn to 1e-5, and which are exported with the ensemble. The smallest number of rows in a
    leaf is tuned by the log-loss (of numbers, the mean squared error in units of the variance of the target)
    of a cross-validation inside the given rows (at most 5,000 of them).

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

    def train_on(
        self, features: Floats, targets: NDArray[Any], outputs: int, predictions: Predictions
    ) -> Trained:
        """Tune the smallest number of rows in a leaf, then fit all rows."""
        rounded, space = on_grid(features), self.task.stacking
        pairs = self.held_out(predictions)
        losses = {
            least: sum(self._loss(rounded, targets, outputs, least, *pair) for pair in pairs)
            for least in LEAVES
        }
        least = min(losses, key=lambda each: losses[each])
        # The columns of the values are the classes that have rows, because all of them are in the fit.
        grown = self._grow(rounded, targets, least, self.n_estimators).estimators_
        forest = from_sklearn(grown, space.leaves)
        count = min(len(targets), TUNING_ROWS)
        by_least = {str(each): loss / count for each, loss in losses.items()}
        notes = {
            "least_rows_in_a_leaf": least,
            "depth": forest.depth,
            f"{space.loss}_by_least_rows": by_least,
        }
        return Trained(forest.tensors(), notes, by_least[str(least)])

    def _grow(self, rounded: Floats, targets: NDArray[Any], least: int, trees: int) -> Any:
        forest = self.task.stacking.forest(
            trees, max_depth=self.max_depth, min_samples_leaf=least, n_jobs=1, random_state=self.seed % 2**32
        )
        # A single column of numbers is a vector to scikit-learn.
        return forest.fit(rounded, targets[:, 0] if targets.shape[1:] == (1,) else targets)

    def _loss(
        self, rounded: Floats, targets: NDArray[Any], outputs: int, least: int, others: Rows, held_out: Rows
    ) -> float:
        """Return the sum of the loss over the held-out rows."""
        forest = self._grow(rounded[others], targets[others], least, min(TRIAL_TREES, self.n_estimators))
        return self.task.stacking.forest_loss(forest, rounded[held_out], targets[held_out], outputs)

    def scores(self, features: Tensor, arranged: Tensor) -> Tensor:
        """Return the log of the mean class frequency over the leaves, or the mean of their numbers."""
        return self.task.stacking.of_leaves(self.leaf_values(features, self.n_estimators).mean(dim=0))
