"""Mean squared difference of logits."""

from __future__ import annotations

from torch import Tensor

from committee.training.distillation_losses.base import DistillationLoss


class MseLogits(DistillationLoss):
    """Mean squared difference between the logits of student and teacher.

    It is the limit of `kd` at high temperatures (Hinton, Vinyals and Dean 2015), and counts differences in
    improbable classes as much as in probable ones. Logits are defined up to a constant per row, so their mean
    is subtracted first: the log-probabilities of an ensemble are compared with the logits of a network.

    See Also
    --------
    committee.training.distillation_losses.kd.Kd : The divergence of probabilities.

    Examples
    --------
    >>> import torch
    >>> from committee.training.distillation_losses.mse_logits import MseLogits
    >>> student, teacher = torch.tensor([[3.0, 1.0]]), torch.tensor([[0.0, 0.0]])
    >>> MseLogits()(student, teacher, torch.tensor([0]))
    tensor([1.])
    """

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each image; see the base class."""
        own, target = (each - each.mean(1, keepdim=True) for each in (student, teacher))
        return (own - target).square().mean(1)
