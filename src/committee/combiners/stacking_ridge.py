"""Stacking of numbers by ridge regression: a linear layer on the members' values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

from committee.base.limits import above_zero
from committee.combiners._stacker import AUTO, Floats, Stacker, Trained
from committee.solvers.ridge import Ridge

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

PENALTIES = tuple(10.0**power for power in range(-3, 6))
"""The values of `alpha` that are tried; the last shrinks thousands of rows to the mean of the target."""


class StackingRidge(Stacker):
    """Ridge regression (Hoerl and Kennard 1970) on the members' numbers (Breiman 1996).

    Each target is a linear function of the values of all members for all targets, with an intercept. Features
    are standardized for the fit, so that the penalty treats all members alike; the scale is then folded into
    the layer. The values of members are nearly collinear, and the penalty shrinks most what distinguishes
    them. With a very large penalty, the output is the mean of the target.

    Parameters
    ----------
    alpha : float, optional
        Strength of the L2 penalty, as in scikit-learn. By default the value among 0.001, 0.01, ..., 100000
        with the smallest mean squared error, in units of the variance of each target, in a cross-validation
        inside the given rows (at most 5,000 of them).
    extras : bool
        Whether to add the mean and the standard deviation over the members to the features.
    folds : int
        Largest number of folds of the cross-validation.
    seed : int
        Seed of the folds.

    Raises
    ------
    UsageError
        In `fit`: `alpha` is not positive.

    See Also
    --------
    StackingLr : The same for classes.
    Weighted : Weights that are not negative and have the sum 1.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.combiners import StackingRidge
    >>> from committee.predictions import Predictions
    >>> truth = np.arange(60.0)
    >>> noise = np.random.default_rng(0).normal(size=(2, 60))
    >>> rows = Predictions.from_values(3 * truth + noise, members=["a", "b"], labels=truth)
    >>> fitted = StackingRidge().fit(rows)
    >>> bool(np.abs(fitted.combine(rows.logits)[:, 0] - truth).max() < 1)
    True
    """

    serves: ClassVar[tuple[str, ...]] = ("numbers",)
    ensemble_name = "stacking_ridge"

    def __init__(
        self, alpha: float | None = None, extras: bool = False, folds: int = 5, seed: int = 0
    ) -> None:
        super().__init__(AUTO, extras, folds, seed)
        self.alpha = alpha

    def seconds(self, members: int, rows: int, targets: int) -> float:
        """Return about how long a fit takes: products of all features, and their decompositions."""
        width = members * targets
        return 1e-3 + 2e-9 * rows * width * (width + 10) + 1e-8 * width**3

    def train_on(
        self, features: Floats, targets: NDArray[Any], outputs: int, predictions: Predictions
    ) -> Trained:
        """Tune the penalty inside the rows, then fit all of them."""
        losses: dict[float, float] = {}
        if self.alpha is None:
            losses = self._losses(features, targets, predictions)
        else:
            above_zero(f"{self.key}.alpha", self.alpha)
        alpha = min(losses, key=lambda each: losses[each]) if self.alpha is None else self.alpha
        weight, bias = (each.astype(np.float32) for each in Ridge(features, targets).fit(alpha))
        notes = {"alpha": alpha, "mse_by_alpha": {f"{each:g}": loss for each, loss in losses.items()}}
        return Trained({"weight": weight, "bias": bias}, notes, losses.get(alpha, np.nan))

    def _losses(
        self, features: Floats, targets: NDArray[Any], predictions: Predictions
    ) -> dict[float, float]:
        """Return the mean squared error of the held-out rows by penalty."""
        total, count = np.zeros(len(PENALTIES)), 0
        for others, held_out in self.held_out(predictions):
            ridge = Ridge(features[others], targets[others])
            layers = [ridge.fit(alpha) for alpha in PENALTIES]
            errors = [features[held_out] @ weight.T + bias - targets[held_out] for weight, bias in layers]
            total += [np.square(each).mean(axis=1).sum() for each in errors]
            count += len(held_out)
        return dict(zip(PENALTIES, (total / count).tolist(), strict=True))

    def scores(self, features: Tensor, arranged: Tensor) -> Tensor:
        """Return the output of the layer."""
        weight, bias = (self.learned(name).to(features.dtype) for name in ("weight", "bias"))
        return linear(features, weight, bias)
