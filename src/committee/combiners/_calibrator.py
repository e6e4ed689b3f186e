"""What rules that calibrate another one share: the rule inside, and temperatures that can be fitted alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from committee.combiners.base import Combiner, build

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Calibrator(Combiner):
    """A rule around `inner` that only makes what it says sharper or softer."""

    calibrates = True

    def __init__(self, inner: Combiner | str | Mapping[str, Any] = "soft_voting", seed: int = 0) -> None:
        super().__init__()
        self.inner = build(inner)
        self.seed = seed

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members here and in `inner`."""
        self.inner.bind(members)
        return super().bind(members)

    def recalibrate(self, predictions: Predictions) -> Self:
        """Fit temperatures alone, on rows that neither the members nor `inner` learned from."""
        predictions.require_unseen(self.key)
        predictions.require_labels(self.key)
        self.calibrate(predictions)
        return self

    @abstractmethod
    def calibrate(self, predictions: Predictions) -> None:
        """Keep the temperatures that are best for what `inner`, as it is, says of checked rows."""

    def affordable(self, members: int, rows: int, classes: int) -> bool:
        """Return whether a fit takes seconds: `inner` is fitted once for each inner fold, and once more."""
        return self.inner.affordable(members, 5 * rows, classes)

    def member_weights(self) -> dict[str, float] | None:
        """Return the weights of `inner`."""
        return self.inner.member_weights()

    def notes(self) -> dict[str, Any]:
        """Return the temperatures, and what `inner` notes."""
        return {**self.inner.notes(), **self._notes}
