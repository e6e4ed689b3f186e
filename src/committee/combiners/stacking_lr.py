"""Stacking by logistic regression: a linear layer on the members' outputs."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch.nn.functional import linear

from committee.combiners._stacker import AUTO, TUNING_ROWS, Floats, Rows, Stacker, Trained
from committee.errors import UsageError
from committee.solvers.softmax_regression import SoftmaxRegression

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SMALL = 2**30


class StackingLr(Stacker):
    """Multinomial logistic regression on the members' outputs (Wolpert 1992; Ting and Witten 1999).

    Features are standardized for the fit, so that the penalty treats all members alike; the scale is then
    folded into the layer. A class without rows gets a constant, very low score.

    Parameters
    ----------
    C : float, optional
        Inverse strength of the L2 penalty, as in scikit-learn. By default the value with the smallest
        log-loss in a cross-validation inside the given rows (at most 5,000 of them).
    features : {"auto", "log_probability", "probability"}
        The form of the members' outputs among the features. A linear layer on log-probabilities can represent
        all weighted geometric means of the members. A layer on probabilities cannot, but a member that is
        confidently wrong changes its features by at most 1. "auto" keeps the form with the smaller log-loss
        in the cross-validation.
    extras : bool
        Whether to add the entropy and the margin of each member, and the disagreement of the members.
    folds : int
        Largest number of folds of the cross-validation.
    seed : int
        Seed of the folds.

    Raises
    ------
    UsageError
        In `fit`: `C` is not positive.

    See Also
    --------
    StackingMlp : A small network on the same features.
    Weighted : Non-negative weights of the members.

    Examples
    --------
    >>> from committee.combiners import StackingLr
    >>> from committee.metrics import evaluate
    >>> from committee.predictions import simulate
    >>> rows = simulate({"a": 2.0, "b": 2.0})
    >>> fitted = StackingLr().fit(rows)
    >>> fitted.notes()["C"]
    1.0
    >>> evaluate(fitted.combine(rows.logits), rows.labels)["accuracy"] > 0.9
    True
    """

    ensemble_name = "stacking_lr"

    def __init__(
        self,
        C: float | None = None,
        features: str = AUTO,
        extras: bool = False,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__(features, extras, folds, seed)
        self.C = C

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes; a step costs `rows * members * classes**2` operations."""
        forms = 2 if self.features == AUTO else 1
        return forms * rows * (6e-5 + 5e-8 * members * classes**2)

    def train_on(self, features: Floats, labels: Rows, classes: int, predictions: Predictions) -> Trained:
        """Tune the penalty inside the rows, then fit all of them."""
        if self.C is not None and not self.C > 0:
            raise UsageError("stacking_lr.C", expected="a number above 0", got=str(self.C))
        with _few_threads(features.size * classes):
            tuned = self.C is None or self.features == AUTO
            losses = self._losses(features, labels, classes, predictions) if tuned else {}
            strength = min(losses, key=lambda c: losses[c]) if self.C is None else self.C
            weight, bias = SoftmaxRegression(features, labels, classes).fit(strength)
        by_strength = {str(c): loss for c, loss in losses.items()}
        notes = {"C": strength, "log_loss_by_C": by_strength}
        return Trained({"weight": weight, "bias": bias}, notes, losses.get(strength, math.nan))

    def _losses(
        self, features: Floats, labels: Rows, classes: int, predictions: Predictions
    ) -> dict[float, float]:
        """Return the held-out log-loss by `C`, from the smallest value to the first increase."""
        parts = [
            (SoftmaxRegression(features[others], labels[others], classes), held_out)
            for others, held_out in self.held_out(predictions)
        ]
        count = min(len(labels), TUNING_ROWS)
        losses: dict[float, float] = {}
        for strength in STRENGTHS if self.C is None else (self.C,):
            total = sum(_loss(part.fit(strength), features[test], labels[test]) for part, test in parts)
            losses[strength] = total / count
            if losses[strength] > min(losses.values()):
                break
        return losses

    def scores(self, features: Tensor, arranged: Tensor) -> Tensor:
        """Return the output of the layer."""
        weight, bias = (self.learned(name).to(features.dtype) for name in ("weight", "bias"))
        return linear(features, weight, bias)


def _few_threads(size: int) -> AbstractContextManager[object]:
    """Limit BLAS to one thread in small fits, where more threads only wait for each other."""
    return _libraries().limit(limits=1, user_api="blas") if size < SMALL else nullcontext()


@cache
def _libraries() -> ThreadpoolController:
    """Find the libraries of this process once: the search takes as long as a small fit."""
    return ThreadpoolController()


def _loss(layer: tuple[Floats, Floats], features: Floats, labels: Rows) -> float:
    """Return the sum of the log-loss over rows."""
    weight, bias = layer
    scores = (features @ weight.T + bias).astype(np.float64)
    right = scores[np.arange(len(labels)), labels]
    return float((np.logaddexp.reduce(scores, axis=1) - right).sum())
