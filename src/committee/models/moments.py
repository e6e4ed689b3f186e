"""Predicted distributions of numbers: the mean and the variance of what a model predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.errors import UsageError
from committee.images.decode import Source
from committee.models._images import channels_of, image_batches
from committee.models.batch import Batch
from committee.models.not_finite import not_finite
from committee.tasks.base import task_of_model

if TYPE_CHECKING:
    from committee.backbones.base import Backbone
    from committee.metrics.mixtures import Moments


class WithVariance(nn.Module):
    """A model of numbers, as a module from images to numbers and their variances, `[B, T, 2]`.

    Parameters
    ----------
    model : nn.Module
        A model with `moments`, or any other model of numbers, whose variances are unknown and 0.

    See Also
    --------
    committee.models.Member.moments : Numbers and variances of a network.

    Examples
    --------
    >>> import torch
    >>> from committee.models.member import Member
    >>> from committee.models.moments import WithVariance
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    >>> member = Member.from_module(net, targets=["age"], size=8, variance=True)
    >>> WithVariance(member)(torch.zeros(4, 3, 20, 30, dtype=torch.uint8)).shape
    torch.Size([4, 1, 2])
    """

    takes_batches = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.name = getattr(model, "name", type(model).__name__)
        self.task: Any = getattr(model, "task", None)
        self.train(model.training)

    def forward(self, images: Tensor | Batch) -> Tensor:
        """Return numbers and their variances, float `[B, T, 2]`."""
        moments = getattr(self.model, "moments", None)
        if moments is not None:
            found: Tensor = moments(images)
            return found
        values = Batch.of(images).run(self.model)
        return torch.stack([values, torch.zeros_like(values)], -1)


def has_variance(model: object) -> bool:
    """Return whether all networks of a model predict the variance of each number."""
    return getattr(model, "has_variance", False) is True


def with_variance(model: nn.Module) -> nn.Module:
    """Return the model with its variances, if it predicts them, and otherwise the model as it is."""
    return WithVariance(model) if has_variance(model) else model


class Distributed:
    """A model of numbers with the distribution of what it predicts.

    A model has `variance_parts`, which returns numbers and the two parts of their variance.
    """

    variance_parts: Callable[[Tensor], Tensor]

    @torch.inference_mode()
    def predict_distribution(
        self, images: Tensor | NDArray[np.uint8] | Sequence[Source], batch_size: int = 32
    ) -> Moments:
        """Return mean and standard deviations of the numbers of images.

        Parameters
        ----------
        images, batch_size
            As for `predict`.

        Returns
        -------
        committee.metrics.Moments
            `mean`, `aleatoric` and `epistemic`, float64 `[N, T]`, in units. The aleatoric part is zero if the
            networks do not predict variances, and the epistemic part of a single network is zero.

        Raises
        ------
        UsageError
            The model does not predict one number for each target of an image.
        """
        from committee.metrics.mixtures import Moments  # imports scipy

        module = cast("nn.Module", self)
        require_numbers(module, "predict_distribution")
        module.eval()
        device = next((tensor.device for tensor in module.parameters()), torch.device("cpu"))
        batches = image_batches(images, channels_of(module), batch_size)
        found = [self.variance_parts(batch.to(device)).double().cpu() for batch in batches]
        if not found:
            return Moments(*np.zeros((3, 0, len(getattr(module, "class_names", ())))))
        parts = torch.cat(found).numpy()
        if not np.isfinite(parts).all():
            raise not_finite(module, images, "some images")
        mean, *variances = parts.transpose(2, 0, 1)
        return Moments(mean, *map(np.sqrt, variances))


class OfNetwork(Distributed):
    """A single network, which predicts the variance of each number or not."""

    network: Backbone
    network_outputs: Callable[[Tensor | Batch], Tensor]

    @property
    def has_variance(self) -> bool:
        """Whether the network predicts the variance of each number."""
        return self.network.output.variance

    @property
    def has_spread(self) -> bool:
        """Whether there is a variance, which is that of the network."""
        return self.has_variance

    def moments(self, images: Tensor | Batch) -> Tensor:
        """Return numbers and their variances, float `[B, T, 2]`; a variance that is not predicted is 0."""
        outputs = self.network_outputs(images)
        return outputs if self.has_variance else torch.stack([outputs, torch.zeros_like(outputs)], -1)

    def variance_parts(self, images: Tensor | Batch) -> Tensor:
        """Return numbers, and the aleatoric and the epistemic part of their variance, float `[B, T, 3]`."""
        moments = self.moments(images)
        return torch.cat([moments, torch.zeros_like(moments[..., :1])], -1)


def require_numbers(model: nn.Module, who: str) -> None:
    """Raise UsageError unless a model predicts one number for each target of an image."""
    task = task_of_model(model)
    if not task.variances:
        raise UsageError(
            who,
            expected="a model that predicts a number for each target of an image",
            got=f"one of {task.target_type.name.replace('_', ' ')}",
            todo="Use predict.",
        )
