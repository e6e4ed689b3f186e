"""Vector scaling of the combined output: a scale and a bias for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from committee.base.limits import above_zero
from committee.combiners.base import Combiner
from committee.combiners.shared.calibrator import OutputCalibrator
from committee.solvers.class_scaling import best_class_scaling
from committee.solvers.newton import fit_temperature


class VectorScaling(OutputCalibrator):
    """Multiply the log-probabilities of `inner` by a scale of each class, and add a bias (Guo et al. 2017).

    Use it if a class is predicted too often, or if some classes are more overconfident than others. A
    temperature is fitted first. Scales (relative to it) and biases are then fitted with a penalty, so that
    those of a class with few rows stay near 1 and 0, which is the temperature alone. Of maps, an image counts
    as one row against the penalty, since its pixels are not independent. The predicted class can change. As
    for `Temperature`, all is fitted on cross-fitted outputs of `inner`.

    Parameters
    ----------
    inner : Combiner, str or mapping
        The combiner to calibrate, its key, or `{"combiner": key, **options}`.
    spread : float
        How much scales and biases differ from 1 and 0, in the prior: the standard deviation.
    seed : int
        Seed of folds that are drawn if the predictions have none.

    Raises
    ------
    UsageError
        In `fit`: `spread` is not positive.

    See Also
    --------
    Temperature : One number for all classes, which needs few rows.
    committee.solvers.class_scaling.best_class_scaling : The fit of scales and biases.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017). On calibration of modern neural networks. ICML.

    Examples
    --------
    >>> from committee.combiners import VectorScaling
    >>> from committee.predictions import simulate
    >>> rows = simulate({"a": 1.0, "b": 1.0}, rows=2000)
    >>> rows.logits[:, :, 0] += 2  # the first class is predicted too often
    >>> fitted = VectorScaling("soft_voting").fit(rows)
    >>> biases = fitted.notes()["biases"]
    >>> biases[0] < -0.5 < min(biases[1:])
    True
    """

    def __init__(
        self,
        inner: Combiner | str | Mapping[str, Any] = "soft_voting",
        spread: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(inner, seed)
        self.spread = spread

    def fit_outputs(self, outputs: NDArray[np.float32], labels: NDArray[np.int64], units: int) -> None:
        """Fit a temperature, then the scale and the bias of each class, to outputs `[N, C]` of `inner`."""
        above_zero(f"{self.key}.spread", self.spread)
        found = fit_temperature(outputs, labels)
        # Rows that are not independent, such as pixels of an image, count as one against the penalty.
        spread = self.spread * math.sqrt(units / len(labels))
        scale, bias = best_class_scaling(outputs / np.float32(found.value), labels, spread)
        by_class = np.stack([scale / found.value, bias]).astype(np.float32)
        self.set_buffers(scale=by_class[0], bias=by_class[1])
        self._notes = {
            "temperature": found.value,
            "scales": scale.round(4).tolist(),
            "biases": bias.round(4).tolist(),
        }
        if found.note:
            self._notes["temperature_note"] = found.note

    def calibrate_outputs(self, outputs: Tensor) -> Tensor:
        """Return `softmax(scale * outputs + bias)` as log-probabilities."""
        shape = (1, -1, *[1] * (outputs.ndim - 2))
        scale, bias = (self.learned(name).to(outputs.dtype).reshape(shape) for name in ("scale", "bias"))
        return (outputs * scale + bias).log_softmax(dim=1)
