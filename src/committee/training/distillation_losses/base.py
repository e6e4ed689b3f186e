"""Base class of the losses between the outputs of a student and of its teacher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from committee.base.registry import Family
from committee.errors import RecipeError
from committee.predictions.target_types import CLASSES
from committee.tasks.base import Task


class DistillationLoss(ABC):
    """A loss between the outputs of a student and those of its teacher.

    Options are the parameters of the constructor. One that is called `temperature` gets the value of
    `distillation.temperature`; the others are keys of `distillation.loss`.

    Attributes
    ----------
    serves : tuple of str
        Names of the target types that it serves.

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

    serves: ClassVar[tuple[str, ...]] = (CLASSES.name,)

    @abstractmethod
    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each image, float32 `[B]`; it is smallest if the student equals the teacher.

        Parameters
        ----------
        student, teacher : float32 `[B, C]`
            Logits, which are defined up to a constant per row, or numbers in units of the standard deviation
            of their target.
        labels : int64 `[B]`, or float32 `[B, T]`
            The label of each image; what the teacher predicts for an image without a label.
        """


LOSSES: Family[DistillationLoss] = Family("committee.training.distillation_losses", "distillation loss")


def check_serves(name: str, task: Task) -> None:
    """Raise RecipeError, which lists the losses of a task, if a loss does not serve it."""
    kind = task.target_type.of_rows.name
    if kind not in LOSSES.load(name).serves:
        serving = [each for each in LOSSES.names() if kind in LOSSES.load(each).serves]
        raise RecipeError(
            "distillation.loss",
            expected=f"a loss of {kind}: {', '.join(serving)}",
            got=f"'{name}'",
            todo=f"Leave it out, which means {task.taught_by}.",
        )
