"""Temperature: one number that calibrates the combined probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from committee.combiners._base import Combiner, build
from committee.combiners._crossfit import cross_fit
from committee.combiners._newton import best_temperature

if TYPE_CHECKING:
    from committee.predictions import Predictions


class Temperature(Combiner):
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

    calibrates = True

    def __init__(self, inner: Combiner | str | Mapping[str, Any] = "soft_voting", seed: int = 0) -> None:
        super().__init__()
        self.inner = build(inner)
        self.seed = seed

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members here and in `inner`."""
        self.inner.bind(members)
        return super().bind(members)

    def learn(self, predictions: Predictions) -> None:
        """Fit the temperature on cross-fitted outputs, then `inner` on all rows."""
        pooled = cross_fit(self.inner, predictions, seed=self.seed)
        self._set(best_temperature(pooled, predictions.require_labels(self.key)))
        self.inner.fit(predictions)

    def recalibrate(self, predictions: Predictions) -> Self:
        """Fit the temperature alone, on rows that neither the members nor `inner` learned from."""
        predictions.require_unseen(self.key)
        labels = predictions.require_labels(self.key)
        self._set(best_temperature(self.inner.combine(predictions.logits), labels))
        return self

    def _set(self, temperature: float) -> None:
        self.keep(inverse_temperature=torch.tensor(1 / temperature))
        self._notes = {"temperature": temperature}

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        scale = self.learned("inverse_temperature").to(logits.dtype)
        return (self.inner(logits) * scale).log_softmax(dim=1)

    def member_weights(self) -> dict[str, float] | None:
        """Return the weights of `inner`."""
        return self.inner.member_weights()

    def notes(self) -> dict[str, Any]:
        """Return the temperature, and what `inner` notes."""
        return {**self.inner.notes(), **self._notes}
