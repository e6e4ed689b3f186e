"""Base class of the losses between the outputs of a student and of its teacher."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from committee.base.registry import Family


class DistillationLoss(ABC):
    """A loss between the logits of a student and those of its teacher.

    Options are the parameters of the constructor. One that is called `temperature` gets the value of
    `distillation.temperature`; the others are keys of `distillation.loss`.

    See Also
    --------
    committee.training.plans.distillation.Distillation : The plan that trains a student.

    Examples
    --------
    >>> import torch
    >>> from committee.training.distillation_losses.base import LOSSES
    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> LOSSES.make("kd", temperature=4.0)(logits, logits, torch.tensor([0]))
    tensor([0.])
    """

    @abstractmethod
    def __call__(self, student: Tensor, teacher: Tensor, classes: Tensor) -> Tensor:
        """Return the loss of each image, float32 `[B]`; it is smallest if the student equals the teacher.

        Parameters
        ----------
        student, teacher : float32 `[B, C]`
            Logits, which are defined up to a constant per row.
        classes : int64 `[B]`
            The label of each image; the class that the teacher predicts for an image without a label.
        """


LOSSES: Family[DistillationLoss] = Family("committee.training.distillation_losses", "distillation loss")
