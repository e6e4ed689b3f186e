"""Temperature: one number that calibrates the combined probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from committee.combiners._calibrator import Calibrator
from committee.combiners._crossfit import cross_fit
from committee.combiners.base import Combiner, Query
from committee.solvers.newton import best_temperature

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Temperature(Calibrator):
    """Divide the log-probabilities of `inner` by a temperature (Guo et al. 2017), fitted after pooling.

    The temperature is fitted on cross-fitted outputs of `inner`, with folds drawn inside the given rows, and
    `inner` is then fitted on all of them: no temperature sees a row that its `inner` was fitted on.

    Parameters
    ----------
    inner : Combiner, str or mapping
        The rule to calibrate: a combiner, its key, or `{"combiner": key, **options}`.
    seed : int
        Draws the inner folds.
    """

    def _fit(self, predictions: Predictions) -> None:
        """Fit the temperature on cross-fitted outputs, then `inner` on all rows."""
        pooled = cross_fit(self.inner, predictions, seed=self.seed)
        self._set(best_temperature(pooled, predictions.require_labels(self.key)))
        self.inner.fit(predictions)

    def calibrate(self, predictions: Predictions) -> None:
        """Keep the temperature that is best for what `inner` says of rows."""
        labels = predictions.require_labels(self.key)
        self._set(best_temperature(self.inner.combine(predictions.logits), labels))

    def _set(self, temperature: float) -> None:
        self.set_buffers(inverse_temperature=torch.tensor(1 / temperature))
        self._notes = {"temperature": temperature}

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return self._tempered(self.inner(logits))

    def forward_lazy(self, query: Query) -> Tensor:
        """Return what `forward` returns, asking for what `inner` asks for."""
        return self._tempered(self.inner.forward_lazy(query))

    def _tempered(self, pooled: Tensor) -> Tensor:
        return (pooled * self.learned("inverse_temperature").to(pooled.dtype)).log_softmax(dim=1)

    def restrict_to_used(self) -> Combiner:
        """Return the same temperature around a narrower `inner`."""
        inner = self.inner.restrict_to_used()
        if inner is self.inner:
            return self
        scale = self.learned("inverse_temperature")
        rule = Temperature(inner, self.seed)
        return self.rebind(inner.member_names, rule, inverse_temperature=scale)
