"""The base class of combiners that calibrate another combiner by temperatures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from committee.combiners.base import Combiner, build

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Calibrator(Combiner):
    """A combiner that applies `inner` and makes it more or less confident by temperatures.

    Parameters
    ----------
    inner : Combiner, str or mapping
        The combiner that is calibrated, or its specification.
    seed : int
        Seed of the inner folds.

    See Also
    --------
    committee.combiners.Temperature : One temperature for the combined output.
    committee.combiners.MemberTemperature : One temperature for each member.
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

    def recalibrate(self, predictions: Predictions) -> Self:
        """Fit the temperatures only, on rows that neither the members nor `inner` were fitted on."""
        predictions.require_unseen(self.key)
        predictions.require_labels(self.key)
        self.calibrate(predictions)
        return self

    @abstractmethod
    def calibrate(self, predictions: Predictions) -> None:
        """Set the temperatures that are best for checked rows with `inner` as it is."""

    def affordable(self, members: int, rows: int, classes: int) -> bool:
        """Return whether a fit takes seconds; `inner` is fitted on each inner fold and on all rows."""
        return self.inner.affordable(members, 5 * rows, classes)

    def member_weights(self) -> dict[str, float] | None:
        """Return the weights of `inner`."""
        return self.inner.member_weights()

    def notes(self) -> dict[str, Any]:
        """Return the notes of `inner` and the temperatures."""
        return {**self.inner.notes(), **self._notes}
