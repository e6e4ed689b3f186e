"""A model that runs on the engine that was selected for it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.images.decode import Source
from committee.models.engine_choices import Choice
from committee.models.engine_parity import Reference, noise
from committee.models.engine_race import prepare
from committee.models.engine_trials import EAGER, table_text
from committee.models.moments import Distributed, has_variance
from committee.models.prediction import predict
from committee.models.tasks import NamedOutputs
from committee.tasks.base import task_of_model

log = logging.getLogger(__name__)

Infer = Callable[[Tensor], Tensor]


class Optimized(Distributed, NamedOutputs, nn.Module):
    """A model on the fastest engine that was found for it.

    The engine holds the weights that the model had when it was prepared. A copy, and what is read from a
    pickle, prepares it again, on the machine where that happens. What the engine cannot take, such as
    images of another size or on another device, runs on the model as it is.

    Parameters
    ----------
    model : nn.Module
        The model, in evaluation mode.
    run : callable
        What the engine prepared.
    choice : Choice
        The choice of the engine, with the measurements of all of them.
    example : tensor [B, c, H, W]
        Images for which the engine was prepared.

    Attributes
    ----------
    engine, precision : str
        Name of the engine, and the precision of the networks.
    table : tuple of Trial
        The measurements of all engines.
    class_names, task, units, name
        Those of the model.

    See Also
    --------
    committee.models.planner.optimize : Measures engines, and returns one.

    Examples
    --------
    >>> import torch
    >>> from committee.models import Member
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    >>> member = Member.from_module(net, classes=["cat", "dog"], size=8).eval()
    >>> images = torch.zeros(4, 3, 20, 30, dtype=torch.uint8)
    >>> fast = member.optimize(images, budget_s=0.5, engines=["channels_last"], cache=False)
    >>> fast.infer(images).shape, fast.class_names, len(fast.table)
    (torch.Size([4, 2]), ('cat', 'dog'), 2)
    """

    runs_model = True
    """Whether it reads of images what its model reads, as one tensor."""

    def __init__(self, model: nn.Module, run: Infer, choice: Choice, example: Tensor) -> None:
        super().__init__()
        self.model, self.choice, self.table = model, choice, tuple(choice.table)
        self.engine, self.precision = choice.trial.engine, choice.trial.precision
        self.name: str = getattr(model, "name", type(model).__name__)
        self.class_names = tuple(getattr(model, "class_names", ()))
        self.units = tuple(getattr(model, "units", ()))
        self.task = task_of_model(model)
        self._run: Infer = run
        self._any_size = choice.any_size
        self._device, self._dtype, self._shape = example.device, example.dtype, example.shape[1:]
        self._count = len(example)
        self._refused: set[torch.Size] = set()
        self.eval()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what the engine prepared, which belongs to this process."""
        return {name: value for name, value in self.__dict__.items() if name != "_run"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Prepare the engine again, which may take seconds; without it, the model runs as it is."""
        super().__setstate__(state)
        trial, shape = self.choice.trial, [self._count, *self._shape]
        self._run = self._eager
        if trial.engine == EAGER:
            return
        try:
            example = noise(shape, self._dtype, self._device)
            tolerance = float(self.choice.facts.get("tolerance", math.inf))
            reference = Reference(self.model, example)
            self._run = prepare(reference, trial.engine, trial.precision, tolerance).run
        except Exception as error:
            log.warning("%s runs as it is, without the engine %s: %s", self.name, trial.engine, error)

    def forward(self, images: Tensor) -> Tensor:
        """Return log-probabilities or numbers, float32 `[B, C, ...]`, as the model does."""
        return self.infer(images)

    @torch.no_grad()
    def infer(self, images: Tensor) -> Tensor:
        """Return the same as `forward`, without gradients."""
        if not self._takes(images):
            return self._eager(images)
        try:
            return self._run(images)
        except Exception as error:
            found = self._eager(images)  # If it fails as well, the images are at fault.
            log.warning("%s: images %s run without %s: %s", self.name, [*images.shape], self.engine, error)
            self._refused.add(images.shape)
            return found

    def _eager(self, images: Tensor) -> Tensor:
        found: Tensor = getattr(self.model, "infer", self.model)(images)
        return found.float()

    def _takes(self, images: Any) -> bool:
        """Return whether the engine was prepared for such images."""
        return (
            isinstance(images, Tensor)
            and images.device == self._device
            and images.dtype == self._dtype
            and len(images) > 0
            and images.shape[1:2] == self._shape[:1]
            and (self._any_size or images.shape[1:] == self._shape)
            and images.shape not in self._refused
        )

    def predict(
        self, images: Tensor | NDArray[np.uint8] | Sequence[Source], batch_size: int = 32, **tiles: Any
    ) -> Any:
        """Return probabilities, or numbers, float32 `[N, C]`; see `committee.models.prediction.predict`."""
        return predict(self, images, batch_size, **tiles)

    @property
    def has_variance(self) -> bool:
        """Whether the networks predict the variance of each number."""
        return has_variance(self.model)

    @property
    def has_spread(self) -> bool:
        """Whether there is a variance; see `variance_parts`."""
        return bool(getattr(self.model, "has_spread", False))

    def variance_parts(self, images: Tensor) -> Tensor:
        """Return numbers and the parts of their variance `[B, T, 3]`, which the model computes as it is."""
        model: Any = self.model
        found: Tensor = model.variance_parts(images)
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.choice.sentence(self.name)}\n{table_text(self.table)}"
