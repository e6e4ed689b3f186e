"""What stacking learners read and predict, and how their loss is measured; each task has one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Learned = Callable[[str], Tensor]
"""Returns a fitted buffer by name."""


class StackingSpace(ABC):
    """The features that stacking learners read, the targets that they are trained on, and their loss.

    A space is a value without state: what it learns from the rows of a fit are tensors, which the learner
    stores as its buffers.

    Attributes
    ----------
    forms : tuple of str
        The forms of the members' outputs among the features; the first suits trees.
    loss : str
        Name of the loss in notes.
    bounded : bool
        Whether features outside the range of the rows of the fit are moved to its limits.

    See Also
    --------
    committee.solvers.class_space.ClassSpace : Classes.
    committee.solvers.number_space.NumberSpace : Numbers.
    """

    forms: ClassVar[tuple[str, ...]]
    loss: ClassVar[str]
    bounded: ClassVar[bool] = False

    @abstractmethod
    def read(
        self, predictions: Predictions, order: Rows, who: str
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any], int]:
        """Return the tensors of the space, the targets of a learner, and the number K of its outputs."""

    @abstractmethod
    def arranged(self, outputs: Tensor, learned: Learned) -> Tensor:
        """Return outputs `[M, B, C]`, whose members are in order, as features are computed from them."""

    @abstractmethod
    def features(self, arranged: Tensor, form: str, extras: bool) -> Tensor:
        """Return the features `[B, F]` of arranged outputs."""

    @abstractmethod
    def mean(self, arranged: Tensor, learned: Learned) -> Tensor:
        """Return the mean of the members `[B, K]`, which a correction is added to."""

    @abstractmethod
    def outputs(self, scores: Tensor, learned: Learned) -> Tensor:
        """Return the outputs `[B, C]` of a rule for the scores `[B, K]` of a learner."""

    @abstractmethod
    def mean_loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of scores `[B, K]`."""

    @abstractmethod
    def forest(self, trees: int, **options: Any) -> Any:
        """Return an unfitted random forest of scikit-learn."""

    @abstractmethod
    def leaves(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values `[P, K]` of the nodes of a tree for those of scikit-learn."""

    @abstractmethod
    def of_leaves(self, means: Tensor) -> Tensor:
        """Return scores `[B, K]` for the mean values of the leaves that a row reaches."""

    @abstractmethod
    def forest_loss(self, forest: Any, features: Floats, targets: NDArray[Any], outputs: int) -> float:
        """Return the sum of the loss of a fitted forest over rows."""

    @abstractmethod
    def count(self, learned: Learned) -> int:
        """Return the number K of outputs of a fitted learner."""

    @abstractmethod
    def boosting(self, outputs: int) -> dict[str, Any]:
        """Return the settings of XGBoost: objective, metric, and initial score."""

    @abstractmethod
    def boosting_loss(self, curve: Sequence[float]) -> NDArray[np.float64]:
        """Return the mean loss after each round for the metric that XGBoost reports."""
