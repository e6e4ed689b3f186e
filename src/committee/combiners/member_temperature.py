"""Member temperature: each member calibrated by its own temperature before it is combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners._base import Combiner, build
from committee.combiners._columns import take
from committee.combiners._crossfit import redraw_folds
from committee.combiners._newton import best_temperature

if TYPE_CHECKING:
    from committee.predictions import Predictions


class MemberTemperature(Combiner):
    """Divide each member's logits by its temperature (Guo et al. 2017), then combine with `inner`.

    Where `inner` learns, it is fitted on logits whose temperatures were found on other rows, with folds
    drawn inside the given rows; the temperatures that stay are then fitted on all of them.

    Parameters
    ----------
    inner : Combiner, str or mapping
        The rule that combines calibrated members.
    seed : int
        Draws the inner folds.

    Notes
    -----
    Calibrating members before pooling often hurts the pool (Rahaman and Thiery 2021): measure it against
    `temperature`.
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
        """Fit `inner` on cross-fitted calibrated logits, then the temperatures on all rows."""
        if self.inner.learns:
            self.inner.fit(replace(predictions, logits=self._cross_scaled(predictions)))
        self._set(predictions)

    def recalibrate(self, predictions: Predictions) -> Self:
        """Fit the temperatures alone, on rows that neither the members nor `inner` learned from."""
        predictions.require_unseen(self.key)
        predictions.require_labels(self.key)
        self._set(predictions)
        return self

    def _set(self, predictions: Predictions) -> None:
        found = _temperatures(predictions)
        self.keep(inverse_temperature=1 / found)
        self._notes = {"temperatures": dict(zip(predictions.members, found.tolist(), strict=True))}

    def _cross_scaled(self, predictions: Predictions) -> NDArray[np.float32]:
        folds = redraw_folds(predictions, self.seed)
        scaled = np.array(predictions.logits)
        for fold in np.unique(folds):
            found = _temperatures(take(predictions, np.flatnonzero(folds != fold)))
            scaled[:, folds == fold] /= found[:, None, None]
        return scaled

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        scale = self.learned("inverse_temperature").to(logits.dtype)
        return self.inner(logits * scale.reshape(-1, *[1] * (logits.ndim - 1)))

    def member_weights(self) -> dict[str, float] | None:
        """Return the weights of `inner`."""
        return self.inner.member_weights()

    def notes(self) -> dict[str, Any]:
        """Return the temperatures, and what `inner` notes."""
        return {**self.inner.notes(), **self._notes}


def _temperatures(predictions: Predictions) -> NDArray[np.float32]:
    labels = predictions.require_labels("member_temperature")
    return np.array([best_temperature(logits, labels) for logits in predictions.logits], np.float32)
