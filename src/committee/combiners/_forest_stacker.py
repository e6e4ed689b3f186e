"""The base class of stackers whose model is a forest of decision trees."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from committee.base.limits import at_least
from committee.combiners._stacker import Stacker
from committee.solvers.forest import MOST_NUMBERS, check_forest, in_blocks, leaves


class ForestStacker(Stacker):
    """A stacker whose model is a forest, stored as tensors.

    Parameters
    ----------
    n_estimators : int
        Largest number of trees or, for boosting, of rounds with one tree for each class or target.
    max_depth : int
        Largest depth of a tree.
    features, extras, folds, seed
        As for `Stacker`.

    Attributes
    ----------
    config : str
        The section of the recipe that holds the options, for error messages.
    """

    serves: ClassVar[tuple[str, ...]] = ("classes", "numbers")
    config: str

    def __init__(
        self, n_estimators: int, max_depth: int, features: str, extras: bool, folds: int, seed: int
    ) -> None:
        super().__init__(features, extras, folds, seed)
        self.n_estimators = n_estimators
        self.max_depth = max_depth

    @property
    def forms(self) -> tuple[str, ...]:
        """One form: all have the same order, so trees can split them alike, and chance would decide."""
        return super().forms[:1]

    def check_size(self, members: int, rows: int, outputs: int) -> None:
        """Raise a UsageError if the forest may have too many values."""
        at_least(f"{self.key}.n_estimators", self.n_estimators, 1)
        at_least(f"{self.key}.max_depth", self.max_depth, 1)
        setting = f"max_depth or n_estimators of {self.config}"
        check_forest(self.key, self._numbers(rows, outputs), setting)

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes; infinite if the forest may have too many values."""
        too_large = self._numbers(rows, classes) > MOST_NUMBERS
        return math.inf if too_large else self.growth_seconds(members, rows, classes)

    @abstractmethod
    def growth_seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit of a forest that is not too large takes."""

    def _numbers(self, rows: int, classes: int) -> int:
        """Return the largest number of values in the leaves of the forest."""
        return self.n_estimators * min(2 ** (self.max_depth + 1), 2 * rows) * classes

    def infer(self, logits: Tensor) -> Tensor:
        """Return the same as `forward`, computed in blocks of rows."""
        return in_blocks(self, logits)

    def leaf_values(self, features: Tensor, trees: int) -> Tensor:
        """Return the values of the leaf that each row reaches in each tree, `[trees, B, V]`."""
        nodes = self.learned("feature"), self.learned("threshold"), self.learned("left")
        leaf = leaves(features, nodes, trees, self._notes["depth"])
        value = self.learned("value")
        return value.index_select(0, leaf.reshape(-1)).reshape(*leaf.shape, value.shape[1]).to(features.dtype)
