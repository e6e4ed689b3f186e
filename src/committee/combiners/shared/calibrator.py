"""The base classes of combiners that calibrate another combiner, or its output."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners.base import Combiner, Query, build
from committee.solvers.cross_fit import cross_fit, network_folds

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Calibrator(Combiner):
    """A combiner that applies `inner` and makes it more or less confident.

    Parameters
    ----------
    inner : Combiner, str or mapping
        The combiner that is calibrated, or its specification.
    seed : int
        Seed of folds that are drawn if the predictions have none.

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
        """Fit the calibration only, on rows that neither the members nor `inner` were fitted on."""
        predictions.require_unseen(self.key)
        predictions.require_labels(self.key)
        self.calibrate(predictions)
        return self

    @abstractmethod
    def calibrate(self, predictions: Predictions) -> None:
        """Fit the calibration on checked rows, with `inner` as it is."""

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes: a fit of `inner`, and some passes for the temperatures."""
        return super().seconds(members, rows, classes) + self.inner.seconds(members, rows, classes)

    def member_weights(self) -> dict[str, float] | None:
        """Return the weights of `inner`."""
        return self.inner.member_weights()

    def notes(self) -> dict[str, Any]:
        """Return the notes of `inner` and of the calibration."""
        return {**self.inner.notes(), **self._notes}


class OutputCalibrator(Calibrator):
    """A calibrator of the combined output, fitted on cross-fitted outputs of `inner`.

    A subclass implements `fit_outputs` and `calibrate_outputs`.
    """

    def _fit(self, predictions: Predictions) -> None:
        """Fit the calibration on cross-fitted outputs, and `inner` on all rows."""
        outputs = cross_fit(self.inner, predictions, network_folds(predictions, self.seed))
        self.inner.fit(predictions)
        self.fit_outputs(outputs, predictions.require_labels(self.key), predictions.units())

    def fit_around(
        self,
        inner: Combiner,
        outputs: NDArray[np.float32],
        labels: NDArray[np.int64],
        units: int | None = None,
    ) -> Self:
        """Fit the calibration on outputs `[N, C]` of rows that these were not fitted on, and set `inner`."""
        self.inner, self.member_names = inner, inner.member_names
        self.assign(inner.task)
        self.fit_outputs(outputs, labels, len(labels) if units is None else units)
        return self

    def calibrate(self, predictions: Predictions) -> None:
        """Fit the calibration on the outputs of `inner`."""
        labels = predictions.require_labels(self.key)
        self.fit_outputs(self.inner.combine(predictions.logits), labels, predictions.units())

    @torch.no_grad()
    def calibrated(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the calibrated log-probabilities for outputs `[N, C]` of `inner`."""
        return self.calibrate_outputs(torch.from_numpy(outputs)).numpy()

    @abstractmethod
    def fit_outputs(self, outputs: NDArray[np.float32], labels: NDArray[np.int64], units: int) -> None:
        """Fit the calibration on outputs `[N, C]` of `inner` for rows that it was not fitted on.

        `units` is the number of independent rows; of maps, that of images.
        """

    @abstractmethod
    def calibrate_outputs(self, outputs: Tensor) -> Tensor:
        """Return the calibrated log-probabilities for outputs `[B, C, ...]` of `inner`."""

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return self.calibrate_outputs(self.inner(logits))

    def forward_lazy(self, query: Query) -> Tensor:
        """Return the same as `forward`, requesting the logits that `inner` requests."""
        return self.calibrate_outputs(self.inner.forward_lazy(query))

    def restrict_to_used(self) -> Combiner:
        """Return the same calibration around the restricted `inner`."""
        inner = self.inner.restrict_to_used()
        if inner is self.inner:
            return self
        rule = type(self)(**{**self.options(), "inner": inner})
        own = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        return self.rebind(inner.member_names, rule, **own)
