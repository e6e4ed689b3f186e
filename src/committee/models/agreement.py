"""How far the outputs of two models differ, in units that do not depend on the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.models.predictor import spread_of
from committee.tasks.base import task_of_model


def rows_of(answers: NDArray[Any]) -> NDArray[Any]:
    """Return answers `[B, C]`, or those of the pixels of maps `[B, C, H, W]`, as rows `[R, C]`.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.models.agreement import rows_of
    >>> rows_of(np.zeros((2, 3, 4, 5))).shape
    (40, 3)
    """
    return np.moveaxis(answers, 1, -1).reshape(-1, answers.shape[1])


class Agreement:
    """The answers of a module for some batches, with which those of others are compared.

    Parameters
    ----------
    module : nn.Module
        The module, whose task says what outputs mean.
    outputs : sequence of tensors [B, C, ...]
        What the module returns for each batch.

    See Also
    --------
    committee.models.planner.optimize : Compares engines with the module.

    Examples
    --------
    >>> import torch
    >>> from committee.models.agreement import Agreement
    >>> found = Agreement(torch.nn.Identity(), [torch.tensor([[0.0, 0.0]])])
    >>> found.difference(0, torch.tensor([[0.0, 0.0]]), 1e-5)
    (0.0, True)
    """

    def __init__(self, module: nn.Module, outputs: Sequence[Tensor]) -> None:
        self._task = task_of_model(module)
        self._answers = [self._rows(each) for each in outputs]
        self._shapes = [each.shape for each in outputs]
        self._units = self._task.target_type.units(np.concatenate(self._answers), spread_of(module))

    def difference(self, batch: int, outputs: Tensor, tolerance: float) -> tuple[float, bool]:
        """Compare outputs for one of the batches with those of the module.

        Returns
        -------
        difference : float
            The largest difference of a probability; of numbers, relative to the larger of the standard
            deviation of the target, if it is known, and their root mean square. Infinite for another shape.
        agree : bool
            Whether it is at most `tolerance`, and the decisions are the same.
        """
        if outputs.shape != self._shapes[batch]:
            return np.inf, False
        ours, theirs = self._answers[batch], self._rows(outputs)
        largest = float((np.abs(ours - theirs) / self._units).max())
        return largest, largest <= tolerance and self._task.target_type.agree(ours, theirs, tolerance)

    @torch.inference_mode()
    def _rows(self, outputs: Tensor) -> NDArray[Any]:
        return rows_of(self._task.link(outputs.float()).cpu().numpy())
