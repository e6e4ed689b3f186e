"""Stacking by logistic regression: a linear layer on the members' log-probabilities."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from committee.combiners._base import Combiner
from committee.combiners._columns import by_name, columns
from committee.combiners._crossfit import redraw_folds
from committee.errors import DataError, UsageError

if TYPE_CHECKING:
    from committee.predictions import Predictions

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
CHOICE_ROWS = 5000
SMALL = 2**30
SECONDS = 1e8
FLOOR = -30.0
UNSEEN = -20.0

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


class StackingLr(Combiner):
    """Multinomial logistic regression on concatenated log-probabilities (Wolpert 1992; Ting and Witten 1999).

    Features are standardised for the fit, so that the penalty treats members alike; the scale is then folded
    into the layer. A class without rows gets a constant, very low score.

    Parameters
    ----------
    C : float, optional
        Inverse strength of the L2 penalty, as in scikit-learn. Left out, it is the one with the least
        log-loss in a cross-validation inside the given rows (5,000 of them at most).
    folds : int
        Folds of that cross-validation, at most.
    seed : int
        Draws them.
    """

    ensemble_name = "stacking_lr"
    calibrates = True
    turns = True

    def __init__(self, C: float | None = None, folds: int = 5, seed: int = 0) -> None:
        super().__init__()
        self.C = C
        self.folds = folds
        self.seed = seed

    def affordable(self, members: int, rows: int, classes: int) -> bool:
        """Return whether a fit takes seconds; a step costs `rows x members x classes x classes`."""
        return rows * members * classes**2 <= SECONDS

    def learn(self, predictions: Predictions) -> None:
        """Choose the strength inside the rows, then fit all of them."""
        if self.C is not None and not self.C > 0:
            raise UsageError("stacking_lr.C", expected="a number above 0", got=str(self.C))
        order = by_name(predictions)
        classes = predictions.logits.shape[2]
        features, labels = _features(predictions, order), predictions.require_labels(self.key)
        if len(np.unique(labels)) < 2:
            raise DataError("stacking_lr", expected="rows of at least two classes", got="one")
        with _few_threads(features.size * classes):
            losses = {} if self.C is not None else self._losses(features, predictions, classes)
            strength = self.C if self.C is not None else min(losses, key=lambda c: losses[c])
            weight, bias = _Path(features, labels, classes).fit(strength)
        unsorted = np.empty((classes, len(order), classes), np.float32)
        unsorted[:, order] = weight.reshape(classes, len(order), classes)
        self.keep(weight=unsorted.reshape(classes, -1), bias=bias.astype(np.float32))
        self._notes = {"C": strength, "log_loss_by_C": {str(c): loss for c, loss in losses.items()}}

    def _losses(
        self, features: NDArray[np.float32], predictions: Predictions, classes: int
    ) -> dict[float, float]:
        """Return the held-out log-loss by strength, from strong penalties on, up to the first rise."""
        # The strength is a prior's, which does not depend on the number of rows: some of them tell it.
        some = np.random.default_rng(self.seed).permutation(len(features))[:CHOICE_ROWS]
        features, predictions = features[some], predictions.rows(some)
        labels = predictions.require_labels(self.key)
        folds = redraw_folds(predictions, self.seed, self.folds)
        parts = [
            (_Path(features[folds != fold], labels[folds != fold], classes), folds == fold)
            for fold in np.unique(folds)
        ]
        losses: dict[float, float] = {}
        for strength in STRENGTHS:
            total = sum(path.loss(strength, features[test], labels[test]) for path, test in parts)
            losses[strength] = total / len(labels)
            if losses[strength] > min(losses.values()):
                break
        return losses

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C]` for logits `[M, B, C]`."""
        features = logits.log_softmax(dim=2).clamp_min(FLOOR).transpose(0, 1).flatten(1)
        weight, bias = self.learned("weight").to(logits.dtype), self.learned("bias").to(logits.dtype)
        return linear(features, weight, bias).log_softmax(dim=1)


def _features(predictions: Predictions, order: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return log-probabilities `[N, M * C]`, members in `order`, bounded below."""
    logits, normaliser = predictions.logits, columns(predictions).normaliser
    members, rows, classes = logits.shape
    result = np.empty((rows, members, classes), np.float32)
    for place, member in enumerate(order):
        np.subtract(logits[member], normaliser[member, :, None], out=result[:, place])
    return np.maximum(result, np.float32(FLOOR), out=result).reshape(rows, -1)


def _few_threads(size: int) -> AbstractContextManager[object]:
    """Keep BLAS to one thread in small fits, where threads only wait for each other."""
    return threadpool_limits(1, "blas") if size < SMALL else nullcontext()


class _Path:
    """Fits of the same rows at one strength after another, each starting from the one before."""

    def __init__(self, features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> None:
        from sklearn.linear_model import LogisticRegression

        self._mean, self._scale = features.mean(axis=0), features.std(axis=0)
        # Where a member always says the same, only rounding varies: it is not scaled up.
        self._scale[self._scale < 1e-4] = 1.0
        self._features, self._labels, self._classes = (features - self._mean) / self._scale, labels, classes
        self._model = LogisticRegression(max_iter=300, tol=1e-4, warm_start=True)

    def fit(self, strength: float) -> Layer:
        """Return weight `[C, F]` and bias `[C]` on features as they were given."""
        with warnings.catch_warnings():
            # Stopped early is still a fit, and its score is cross-fitted like any other.
            warnings.simplefilter("ignore")
            model = self._model.set_params(C=strength).fit(self._features, self._labels)
        weight, bias = _all_classes(model.coef_, model.intercept_, model.classes_, self._classes)
        weight /= self._scale
        return weight, bias - weight @ self._mean

    def loss(self, strength: float, features: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        """Return the log-loss of other rows, summed."""
        weight, bias = self.fit(strength)
        scores = torch.from_numpy(features @ weight.T + bias)
        return float(cross_entropy(scores, torch.from_numpy(labels), reduction="sum"))


def _all_classes(
    coefficients: NDArray[np.floating],
    intercepts: NDArray[np.floating],
    present: NDArray[np.int64],
    classes: int,
) -> Layer:
    """Return one row a class: two classes come as one row, and classes without rows not at all."""
    if len(present) == 2:
        coefficients, intercepts = (
            np.vstack([-coefficients, coefficients]) / 2,
            np.hstack([-intercepts, intercepts]) / 2,
        )
    weight = np.zeros((classes, coefficients.shape[1]), np.float32)
    bias = np.full(classes, UNSEEN, np.float32)
    weight[present], bias[present] = coefficients, intercepts
    return weight, bias
