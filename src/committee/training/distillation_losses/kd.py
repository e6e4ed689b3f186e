"""Kullback-Leibler divergence of softened probabilities."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from committee.training.distillation_losses.base import DistillationLoss


class Kd(DistillationLoss):
    """Divergence of the student's probabilities from those of the teacher, both at a temperature T.

    The loss is `T^2 * KL(teacher || student)`. The factor keeps the gradient at about the same size for all
    temperatures (Hinton, Vinyals and Dean 2015, arXiv 1503.02531).

    Parameters
    ----------
    temperature : float
        Divisor of the logits. Above 1, it makes the teacher's small probabilities count more.

    See Also
    --------
    committee.training.distillation_losses.dkd.Dkd : The same, divided into two parts.

    Examples
    --------
    >>> import torch
    >>> from committee.training.distillation_losses.kd import Kd
    >>> student, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> Kd(temperature=1.0)(student, teacher, torch.tensor([0]))
    tensor([0.4621])
    """

    def __init__(self, temperature: float = 4.0) -> None:
        self.temperature = temperature

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each image; see the base class."""
        own, target = ((each / self.temperature).log_softmax(1) for each in (student, teacher))
        divergence = functional.kl_div(own, target, reduction="none", log_target=True).sum(1)
        return divergence * self.temperature**2
