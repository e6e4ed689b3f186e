"""Inputs of networks that need no preprocessing: tensors of one shape, such as vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from committee.errors import DataError, UsageError
from committee.images.view import View

LARGEST_SIDE = 2**20
"""Largest length of an axis of an input."""


class AsGiven(View):
    """Inputs of a floating type and of one shape, which networks get as they are.

    It stands in the place of the preprocessing of images.

    Parameters
    ----------
    shape : sequence of int
        Shape of one input: `[features]`, `[channels, height, width]`, `[steps, features]`, ...

    Raises
    ------
    UsageError
        The shape is empty, or a length is not a whole number from 1 to 2^20.

    See Also
    --------
    committee.images.view.View : The preprocessing of images.

    Examples
    --------
    >>> import torch
    >>> from committee.images.as_given import AsGiven
    >>> AsGiven([64])(torch.zeros(5, 64)).shape
    torch.Size([5, 64])
    """

    def __init__(self, shape: Sequence[int]) -> None:
        valid = all(isinstance(length, int) and 0 < length <= LARGEST_SIDE for length in shape)
        if not (len(shape) and valid):
            raise UsageError(
                "the shape of an input", expected=f"lengths from 1 to {LARGEST_SIDE}", got=f"{list(shape)}"
            )
        super().__init__(shape[-1], 0.0, 1.0, "native", channels=1)
        self.shape, self.channels = tuple(shape), shape[0]

    def options(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON values."""
        return {"shape": list(self.shape)}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input of the network."""
        return self.shape

    def takes(self, images: Tensor) -> bool:
        """Return False: there is no preprocessing of pixels."""
        return False

    def cut(self, images: Tensor) -> Tensor:
        """Return the inputs; see the base class."""
        if images.shape[1:] != self.shape or not images.is_floating_point():
            raise DataError(
                "inputs",
                expected=f"a batch float {['batch', *self.shape]}".replace("'", ""),
                got=f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}",
            )
        return images

    def whole(self, images: Tensor) -> Tensor:
        """Return the inputs; see the base class."""
        return self.cut(images)

    def normalize(self, pixels: Tensor, layout: torch.memory_format = torch.preserve_format) -> Tensor:
        """Return the inputs; `layout` is the memory format of those with four axes."""
        return pixels.to(memory_format=layout) if pixels.ndim == 4 else pixels


def view_of(options: Mapping[str, Any]) -> View:
    """Return the preprocessing with these options, as `View.options` returns them."""
    return AsGiven(**options) if "shape" in options else View(**options)


def shape_of(model: Any) -> tuple[int, ...]:
    """Return the shape of one input of a model of inputs without preprocessing; nothing of others."""
    parts = model.modules() if isinstance(model, nn.Module) else ()
    return next((part.shape for part in parts if isinstance(part, AsGiven)), ())
