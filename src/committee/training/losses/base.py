"""Base class of the losses of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.base.objectives import AUTO
from committee.base.registry import Family
from committee.errors import RecipeError
from committee.recipe.training import Fit
from committee.tasks.base import Task


class Loss(ABC):
    """The loss of outputs of a network for labels.

    A loss is one file in `committee/training/losses`, and its file name is a value of `training.loss` in a
    recipe. Options are the parameters of its constructor.

    Attributes
    ----------
    serves : tuple of str
        Names of the target types that it serves.
    score : str
        Name of what `scored` returns, in the table of epochs.
    name : str
        Name of its mean in notes; by default that of its file.
    has_variance : bool
        Whether the network also predicts the variance of each number.
    without_effect : dict of str to str
        Keys of `training` that the loss does not use, and why.

    See Also
    --------
    committee.training.distillation_losses.base.DistillationLoss : Losses between a student and its teacher.

    Examples
    --------
    >>> import torch
    >>> from committee.training.losses.base import LOSSES
    >>> loss = LOSSES.make("mse").prepare([], ["age"], scale=(10.0,))
    >>> loss.mean(torch.tensor([[30.0], [50.0]]), torch.tensor([[40.0], [50.0]]))
    tensor(0.5000)
    """

    serves: ClassVar[tuple[str, ...]]
    score: str
    name: str
    has_variance: bool = False
    without_effect: Mapping[str, str] = MappingProxyType({})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = cls.__dict__.get("name", cls.__module__.rpartition(".")[2])

    @abstractmethod
    def prepare(
        self,
        labels: NDArray[Any] | Sequence[Any],
        names: Sequence[str],
        scale: Sequence[float] = (),
        settings: Fit | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Set what follows from the rows of a fit, and return the loss.

        Parameters
        ----------
        labels : array `[N]` or `[N, T]`
            Labels of the rows of the fit.
        names : sequence of str
            The classes or targets.
        scale : sequence of float, length T or 0
            Standard deviation of each target, in units of which errors are measured.
        settings : recipe.training.Fit, optional
            Settings of the fit; the defaults of a recipe if None.
        device : torch.device or str
        """

    @abstractmethod
    def each(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each row `[B]`, times its `weight`, for outputs `[B, C]` of a network.

        Of a loss of maps, that of each image, for outputs `[B, C, H, W]`.
        """

    @abstractmethod
    def scored(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean score of rows, a number without gradient."""

    def mean(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the weighted mean loss of rows."""
        return self.each(outputs, labels).mean()

    def unweighted(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each row `[B]` without its weight."""
        return self.each(outputs, labels)

    def standardized(self, outputs: Tensor) -> Tensor:
        """Return outputs `[B, C]` in the units in which the loss measures errors."""
        return outputs

    def weight(self, labels: Tensor) -> Tensor:
        """Return the weight of each row, float32 `[B]`."""
        return torch.ones(len(labels), device=labels.device)


class OfPixels(Loss):
    """A loss of rows as one of maps: pixels with a label are rows, and their mean is the loss of an image.

    Parameters
    ----------
    loss : Loss
        The loss of a pixel.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss, self.score, self.name, self.without_effect = (
            loss,
            loss.score,
            loss.name,
            loss.without_effect,
        )

    def prepare(
        self,
        labels: NDArray[Any] | Sequence[Any],
        names: Sequence[str],
        scale: Sequence[float] = (),
        settings: Fit | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Set what follows from labels of pixels; see the base class."""
        self.loss = self.loss.prepare(labels, names, scale, settings, device)
        return self

    def each(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the weighted mean over the pixels of each image, `[B]`, for maps `[B, C, H, W]`."""
        pixels, labels, known = rows_of_pixels(outputs, labels)
        losses, weights = self.loss.each(pixels, labels) * known, self.loss.weight(labels) * known
        losses, weights = (each.reshape(len(outputs), -1).sum(1) for each in (losses, weights))
        return losses / weights.clamp(min=torch.finfo(weights.dtype).tiny)

    def standardized(self, outputs: Tensor) -> Tensor:
        """Return outputs of pixels in the units in which the loss measures errors."""
        return self.loss.standardized(outputs)

    def scored(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean score of the pixels that have a label; see the base class."""
        pixels, labels, known = rows_of_pixels(outputs, labels)
        return self.loss.scored(pixels[known], labels[known])


def rows_of_pixels(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return outputs and labels of the pixels of maps as rows, and which have a label; others get label 0.

    Labels are int64 `[B, H, W]`, negative where there is none, or float32 `[B, T, H, W]` with NaN.
    """
    rows = outputs.movedim(1, -1).reshape(-1, outputs.shape[1])
    if not labels.is_floating_point():
        return rows, labels.flatten().clamp(min=0), labels.flatten() >= 0
    labels = labels.movedim(1, -1).reshape(-1, labels.shape[1])
    return rows, labels.nan_to_num(0.0), labels.isfinite().all(dim=1)


LOSSES: Family[Loss] = Family("committee.training.losses", "loss")


def loss_for(settings: Fit, task: Task, who: str = "training") -> Loss:
    """Return the loss of a recipe for a task; by default that of the task.

    Raises
    ------
    RecipeError
        The loss does not serve the task; the message lists those that do.
    """
    name, type_ = loss_name(settings, task), task.target_type
    serving = [each for each in LOSSES.names() if _applies(LOSSES.load(each), task)]
    if name not in serving:
        raise RecipeError(
            f"{who}: training.loss",
            expected=f"a loss of {type_.name}: {', '.join(serving)}",
            got=f"'{name}'",
            todo=f"Leave it out, which means {task.loss}.",
        )
    loss = LOSSES.make(name, **settings.loss.options)
    return loss if type_.name in loss.serves else OfPixels(loss)


def _applies(loss: type[Loss], task: Task) -> bool:
    """Return whether a loss serves a task or its pixels, whose networks have the outputs that it needs."""
    kinds = {task.target_type.name, task.target_type.of_rows.name}
    return not kinds.isdisjoint(loss.serves) and (task.variances or not loss.has_variance)


def head_loss(settings: Fit, task: Task, who: str) -> Loss:
    """Return the loss of a head without variances: that of the recipe, or else of the task."""
    loss = loss_for(settings, task, who)
    return LOSSES.make(task.loss) if loss.has_variance else loss


def loss_name(settings: Fit, task: Task) -> str:
    """Return the name of the loss of a recipe; that of the task if the recipe names none."""
    return task.loss if settings.loss.name == AUTO else str(settings.loss.name)
