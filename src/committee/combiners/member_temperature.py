"""Temperature scaling of each member before they are combined."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners.base import Combiner, Query
from committee.combiners.shared.calibrator import Calibrator
from committee.solvers.columns import take
from committee.solvers.cross_fit import network_folds
from committee.solvers.newton import best_temperature, fit_temperature

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class MemberTemperature(Calibrator):
    """Divide each member's logits by its temperature (Guo et al. 2017), then combine with `inner`.

    If `inner` learns, it is fitted on logits whose temperatures were fitted on other rows: those of the other
    folds of the networks or, if the rows have fewer than two, of folds that are drawn. The final temperatures
    are then fitted on all rows.

    Parameters
    ----------
    inner : Combiner, str or mapping
        The combiner of the calibrated members, its key, or `{"combiner": key, **options}`.
    seed : int
        Seed of folds that are drawn if the predictions have none.

    See Also
    --------
    Temperature : Calibrate the combined output.

    Notes
    -----
    Calibrating members before pooling often makes the pool worse (Rahaman and Thiery 2021). Compare it with
    `temperature`.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017). On calibration of modern neural networks. ICML.
    R. Rahaman, A. H. Thiery (2021). Uncertainty quantification and deep ensembles. NeurIPS.

    Examples
    --------
    >>> from committee.combiners import MemberTemperature
    >>> from committee.predictions import simulate
    >>> rows = simulate({"calibrated": 1.0, "overconfident": 1.0})
    >>> rows.logits[1] *= 5
    >>> temperatures = MemberTemperature("soft_voting").fit(rows).notes()["temperatures"]
    >>> {name: round(value) for name, value in temperatures.items()}
    {'calibrated': 1, 'overconfident': 5}
    """

    def _fit(self, predictions: Predictions) -> None:
        """Fit `inner` on cross-fitted calibrated logits, then the temperatures on all rows."""
        if self.inner.learns:
            self.inner.fit(replace(predictions, logits=self._cross_scaled(predictions)))
        self.calibrate(predictions)

    def calibrate(self, predictions: Predictions) -> None:
        """Set the best temperature of each member on some rows."""
        labels = predictions.require_labels(self.key)
        found = [fit_temperature(logits, labels) for logits in predictions.logits]
        self.set_buffers(inverse_temperature=np.array([1 / each.value for each in found], np.float32))
        named = dict(zip(predictions.members, found, strict=True))
        self._notes = {"temperatures": {name: each.value for name, each in named.items()}}
        notes = {name: each.note for name, each in named.items() if each.note}
        if notes:
            self._notes["temperature_notes"] = notes

    def _cross_scaled(self, predictions: Predictions) -> NDArray[np.float32]:
        folds = network_folds(predictions, self.seed)
        scaled = np.array(predictions.logits)
        for fold in np.unique(folds):
            found = _temperatures(take(predictions, np.flatnonzero(folds != fold)))
            scaled[:, folds == fold] /= found[:, None, None]
        return scaled

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        scale = self.learned("inverse_temperature").to(logits.dtype)
        return self.inner(logits * scale.reshape(-1, *[1] * (logits.ndim - 1)))

    def forward_lazy(self, query: Query) -> Tensor:
        """Return the same as `forward`, requesting the logits that `inner` requests."""
        scale = self.learned("inverse_temperature")
        return self.inner.forward_lazy(lambda member, rows: query(member, rows) * scale[member])

    def restrict_to_used(self) -> Combiner:
        """Return the temperatures of the members that `inner` uses, around the restricted `inner`."""
        inner = self.inner.restrict_to_used()
        if inner is self.inner:
            return self
        places = [self.member_names.index(name) for name in inner.member_names]
        scale = self.learned("inverse_temperature")[places]
        rule = MemberTemperature(inner, self.seed)
        return self.rebind(inner.member_names, rule, inverse_temperature=scale)


def _temperatures(predictions: Predictions) -> NDArray[np.float32]:
    labels = predictions.require_labels("member_temperature")
    return np.array([best_temperature(logits, labels) for logits in predictions.logits], np.float32)
