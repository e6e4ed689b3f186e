"""Temperature scaling of the combined output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from committee.combiners._calibrator import Calibrator
from committee.combiners.base import Combiner, Query
from committee.solvers.cross_fit import cross_fit
from committee.solvers.newton import best_temperature

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Temperature(Calibrator):
    """Divide the log-probabilities of `inner` by a temperature (Guo et al. 2017), fitted after pooling.

    The temperature is fitted on cross-fitted outputs of `inner`, with folds drawn inside the given rows;
    `inner` is then fitted on all of them. So the temperature is never fitted on a row that its `inner` was
    fitted on.

    Parameters
    ----------
    inner : Combiner, str or mapping
        The combiner to calibrate, its key, or `{"combiner": key, **options}`.
    seed : int
        Seed of the inner folds.

    See Also
    --------
    MemberTemperature : Calibrate each member before they are combined.
    committee.solvers.newton.best_temperature : The fit of a temperature.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017). On calibration of modern neural networks. ICML.

    Examples
    --------
    >>> from committee.combiners import Temperature
    >>> from committee.predictions import simulate
    >>> rows = simulate({"a": 1.0, "b": 1.0})
    >>> rows.logits[:] *= 5  # make both members overconfident
    >>> fitted = Temperature("soft_voting").fit(rows)
    >>> fitted.notes()["temperature"] > 2
    True
    """

    def _fit(self, predictions: Predictions) -> None:
        """Fit the temperature on cross-fitted outputs, then `inner` on all rows."""
        pooled = cross_fit(self.inner, predictions, seed=self.seed)
        self._set(best_temperature(pooled, predictions.require_labels(self.key)))
        self.inner.fit(predictions)

    def calibrate(self, predictions: Predictions) -> None:
        """Set the temperature that is best for the outputs of `inner` on some rows."""
        labels = predictions.require_labels(self.key)
        self._set(best_temperature(self.inner.combine(predictions.logits), labels))

    def _set(self, temperature: float) -> None:
        self.set_buffers(inverse_temperature=torch.tensor(1 / temperature))
        self._notes = {"temperature": temperature}

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return self._tempered(self.inner(logits))

    def forward_lazy(self, query: Query) -> Tensor:
        """Return the same as `forward`, requesting the logits that `inner` requests."""
        return self._tempered(self.inner.forward_lazy(query))

    def _tempered(self, pooled: Tensor) -> Tensor:
        return (pooled * self.learned("inverse_temperature").to(pooled.dtype)).log_softmax(dim=1)

    def restrict_to_used(self) -> Combiner:
        """Return the same temperature around the restricted `inner`."""
        inner = self.inner.restrict_to_used()
        if inner is self.inner:
            return self
        scale = self.learned("inverse_temperature")
        rule = Temperature(inner, self.seed)
        return self.rebind(inner.member_names, rule, inverse_temperature=scale)
