"""Temperature scaling of the combined output."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners.shared.calibrator import OutputCalibrator
from committee.solvers.newton import fit_temperature


class Temperature(OutputCalibrator):
    """Divide the log-probabilities of `inner` by a temperature (Guo et al. 2017), fitted after pooling.

    The temperature is fitted on cross-fitted outputs of `inner`, and `inner` is then fitted on all rows. So
    the temperature is never fitted on an output for a row that `inner` was fitted on. `score` and `score_all`
    use the cross-fit that they need anyway, so the temperature is nearly free there.

    If the rows hardly determine the temperature, `notes` has a `temperature_note`; see
    `committee.solvers.newton.fit_temperature`.

    Parameters
    ----------
    inner : Combiner, str or mapping
        The combiner to calibrate, its key, or `{"combiner": key, **options}`.
    seed : int
        Seed of folds that are drawn if the predictions have none.

    See Also
    --------
    MemberTemperature : Calibrate each member before they are combined.
    committee.solvers.newton.fit_temperature : The fit of a temperature.

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

    def fit_outputs(self, outputs: NDArray[np.float32], labels: NDArray[np.int64], units: int) -> None:
        """Set the best temperature of outputs `[N, C]` of `inner`."""
        found = fit_temperature(outputs, labels)
        self.set_buffers(inverse_temperature=torch.tensor(1 / found.value))
        self._notes = {"temperature": found.value}
        if found.note:
            self._notes["temperature_note"] = found.note

    def calibrate_outputs(self, outputs: Tensor) -> Tensor:
        """Return `softmax(outputs / T)` as log-probabilities."""
        return (outputs * self.learned("inverse_temperature").to(outputs.dtype)).log_softmax(dim=1)
