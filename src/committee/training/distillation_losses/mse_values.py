"""Mean squared difference of numbers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from committee.training.distillation_losses.base import DistillationLoss


class MseValues(DistillationLoss):
    """Mean squared difference between the numbers of student and teacher.

    They are in units of the standard deviation of each target, so that the loss does not depend on the unit.
    With `alpha` 1, the student of noisy labels learns the mean that the teacher has learned of them.

    See Also
    --------
    committee.training.distillation_losses.mae_values.MaeValues : Less sensitive to outliers of the teacher.

    Examples
    --------
    >>> import torch
    >>> from committee.training.distillation_losses.mse_values import MseValues
    >>> student, teacher = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    >>> MseValues()(student, teacher, teacher)
    tensor([2.])
    """

    serves: ClassVar[tuple[str, ...]] = ("numbers",)

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each image; see the base class."""
        return (student - teacher).square().mean(1)
