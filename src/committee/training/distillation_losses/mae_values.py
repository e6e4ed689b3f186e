"""Mean absolute difference of numbers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from committee.training.distillation_losses.base import DistillationLoss


class MaeValues(DistillationLoss):
    """Mean absolute difference between the numbers of student and teacher.

    They are in units of the standard deviation of each target. Single images for which the teacher is far off
    count less than in `mse_values`.

    See Also
    --------
    committee.training.distillation_losses.mse_values.MseValues : The squared difference.

    Examples
    --------
    >>> import torch
    >>> from committee.training.distillation_losses.mae_values import MaeValues
    >>> student, teacher = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    >>> MaeValues()(student, teacher, teacher)
    tensor([1.])
    """

    serves: ClassVar[tuple[str, ...]] = ("numbers",)

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each image; see the base class."""
        return (student - teacher).abs().mean(1)
