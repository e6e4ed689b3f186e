"""Training data in memory, with what fits read of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.images.as_given import AsGiven
from committee.images.dataset import Dataset
from committee.images.view import View


@dataclass(frozen=True, eq=False)
class Arrays(Dataset):
    """A data set of tensors: images of type uint8, or inputs of any shape.

    Parameters
    ----------
    inputs : uint8 tensor `[N, c, S, S]`, or float32 tensor `[N, ...]`
        Inputs of the rows.
    weights : float32 array `[N]`, optional
        Weight of each row in the loss.

    See Also
    --------
    committee.in_memory.reading.read : Make it of what a user has.
    """

    judging_share: ClassVar[float] = 1.0
    inputs: Tensor = field(default_factory=lambda: torch.empty(0))
    weights: NDArray[np.float32] | None = None

    @property
    def are_pixels(self) -> bool:
        """Whether the inputs are images of type uint8, which networks get divided by 255."""
        return not self.inputs.is_floating_point()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.inputs.shape[1:])

    def view(self) -> View:
        """Return the preprocessing of the inputs."""
        if self.are_pixels:
            return View(self.shape[1], 0.0, 1.0, "squash", self.channels)
        return AsGiven(self.shape)

    def images(self, rows: NDArray[np.int64] | Sequence[int], view: View | None = None) -> Tensor:
        """Return copies of the inputs of `rows`, on the device of the inputs."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self.inputs.device)
        return self.inputs.index_select(0, index)
