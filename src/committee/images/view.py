"""Preprocessing shared by training, inference and exported files: resizing, cropping and normalization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from committee.base.sizes import greatest, least
from committee.base.tracing import is_tracing
from committee.errors import DataError, UsageError
from committee.images.blocks import blocks, lines
from committee.images.resize import Axis, resize

Fit = Literal["crop", "squash", "pad", "native"]
MARGIN = 1.15
PIXELS = 2
"""Version of the resizing; incremented when the pixels that networks see change, and so all results."""


class CanvasSpec(NamedTuple):
    """The canvas that a network reads: all that its preprocessing needs of an image.

    Attributes
    ----------
    size : int
        Side in pixels; 0 if images keep their own size.
    fit : "crop", "squash", "pad" or "native"
        How images become square; `native` keeps their height and width.
    channels : int
        1 or 3.
    """

    size: int
    fit: Fit
    channels: int


def canvas_size(size: int, fit: Fit = "crop") -> int:
    """Return the side of the canvas for an input of `size` pixels; 0 if images keep their own size."""
    if fit == "native":
        return 0
    return math.ceil(round(MARGIN * size, 6)) if fit == "crop" else size


def frame(images: Tensor, size: int, fit: Fit) -> Tensor:
    """Resize images of any height and width to squares; all resizing of whole images uses this function.

    Parameters
    ----------
    images : uint8 `[B, c, H, W]`
    size : int
        Side of the square, in pixels.
    fit : "crop", "squash" or "pad"
        Keep the central square, change the aspect ratio, or add black borders.

    Returns
    -------
    uint8 `[B, c, size, size]`
        Bilinear, antialiased and exact (`images.resize`). Images that already have this size are returned
        unchanged.
    """
    return _square(images, size, fit, size)


def _square(images: Tensor, size: int, fit: Fit, kept: int) -> Tensor:
    """Return the center, `kept` pixels wide, of the square of `size` pixels that `frame` returns."""

    def first(scaled: Any) -> Any:
        return (size - kept) // 2 - (size - scaled) // 2

    lengths = images.shape[-2:]
    if fit == "pad":
        longest = greatest(*lengths)
        scaled: list[Any] = [greatest(length * size // longest, 1) for length in lengths]
    else:
        scaled = [size, size]
    used = [least(*lengths)] * 2 if fit == "crop" else lengths
    axes = [
        Axis((length - part) // 2, part, after, first(after), kept)
        for length, part, after in zip(lengths, used, scaled, strict=True)
    ]
    return resize(images, *axes)


class View(nn.Module):
    """Preprocessing of a network's input: resizing, central crop and normalization.

    The shorter side is resized to 1.15 x `size` (bilinear, antialiased), the central square is cropped
    (`fit="crop"`), and the channels are normalized. `squash` and `pad` use the whole image, without margin.

    Parameters
    ----------
    size : int
        Side of the network's input in pixels. With `fit="native"`, that of the crops of its training.
    mean, std : float or sequence of `channels` floats
        Mean and standard deviation of the channels, for pixels in 0..1.
    fit : "crop", "squash", "pad" or "native"
        How images become square. `native` does not resize them: maps have the size of their image.
    channels : int
        1 or 3.

    Raises
    ------
    UsageError
        `fit` is unknown, or `mean` or `std` has another length than `channels`.

    See Also
    --------
    committee.images.augment.augment : The same preprocessing with random augmentation.

    Examples
    --------
    >>> import torch
    >>> from committee.images.view import View
    >>> View(224)(torch.zeros(1, 3, 300, 500, dtype=torch.uint8)).shape
    torch.Size([1, 3, 224, 224])
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        size: int,
        mean: float | Sequence[float] = (0.485, 0.456, 0.406),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        fit: Fit = "crop",
        channels: int = 3,
    ) -> None:
        super().__init__()
        if fit not in get_args(Fit):
            raise UsageError("view.fit", expected=f"one of {', '.join(get_args(Fit))}", got=f"'{fit}'")
        self.size, self.fit, self.channels = size, fit, channels
        self.mean = _per_channel("view.mean", mean, channels)
        self.std = _per_channel("view.std", std, channels)
        scale = 1 / (255 * np.asarray(self.std, np.float64))
        shift = -np.asarray(self.mean, np.float64) * 255 * scale
        self.register_buffer("scale", torch.from_numpy(scale).float(), persistent=False)
        self.register_buffer("shift", torch.from_numpy(shift).float(), persistent=False)

    def options(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON values."""
        return {
            "size": self.size,
            "mean": list(self.mean),
            "std": list(self.std),
            "fit": self.fit,
            "channels": self.channels,
        }

    @property
    def canvas(self) -> CanvasSpec:
        """The canvas that this preprocessing reads."""
        return CanvasSpec(canvas_size(self.size, self.fit), self.fit, self.channels)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of one input of the network; None for a length that is free."""
        side = None if self.fit == "native" else self.size
        return self.channels, side, side

    def takes(self, images: Tensor) -> bool:
        """Return whether a batch has the type and the channels of the images that are preprocessed."""
        return images.ndim == 4 and images.shape[1] == self.channels and images.dtype == torch.uint8

    def forward(self, images: Tensor) -> Tensor:
        """Preprocess uint8 `[B, c, H, W]` of any height and width to float32 `[B, c, size, size]`.

        With `fit="native"`, height and width stay.
        """
        return self.normalize(self.cut(images))

    def cut(self, images: Tensor) -> Tensor:
        """Resize and crop to uint8 `[B, c, size, size]`."""
        return self._fitted(images, self.size)

    def whole(self, images: Tensor) -> Tensor:
        """Resize to the canvas, uint8 `[B, c, S, S]`, of which `cut` keeps the center."""
        return self._fitted(images, self.canvas.size)

    def _fitted(self, images: Tensor, kept: int) -> Tensor:
        if not self.takes(images):
            raise DataError(
                "images",
                expected=f"a batch uint8 [batch, {self.channels}, height, width]",
                got=f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}",
                todo="Give pixels in 0..255, with the member's number of channels.",
            )
        size = self.canvas.size
        if self.fit == "native" or (size == kept and not is_tracing() and images.shape[2:] == (size, size)):
            return images
        return _square(images, size, self.fit, kept)

    def normalize(self, pixels: Tensor, layout: torch.memory_format = torch.preserve_format) -> Tensor:
        """Normalize pixels by the mean and standard deviation of the channels.

        Parameters
        ----------
        pixels : uint8 or float32 `[B, c, H, W]`, in 0..255
        layout : torch.memory_format
            Memory format of the result.

        Returns
        -------
        float32 `[B, c, H, W]`
        """
        if is_tracing():
            return torch.addcmul(self.shift[:, None, None], pixels.float(), self.scale[:, None, None])
        result = torch.empty_like(pixels, dtype=torch.float32, memory_format=layout)
        for part in blocks(result):
            block, shift, scale = lines(result[part].copy_(pixels[part]), self.shift, self.scale)
            torch.addcmul(shift, block, scale, out=block)
        return result

    def restored(self, normalized: Tensor) -> Tensor:
        """Return the pixels uint8 `[B, c, H, W]` of normalized images, rounded."""
        pixels = (normalized - self.shift[:, None, None]) / self.scale[:, None, None]
        return pixels.round().clamp(0, 255).to(torch.uint8)


def views_by_canvas(module: nn.Module) -> dict[CanvasSpec, View]:
    """Return the canvases that the networks in a module read, each with a view that reads it."""
    return {part.canvas: part for part in module.modules() if isinstance(part, View)}


def _per_channel(who: str, values: float | Sequence[float], channels: int) -> tuple[float, ...]:
    listed = (float(values),) * channels if isinstance(values, int | float) else tuple(map(float, values))
    if len(listed) == 3 and channels == 1:
        listed = (sum(listed) / 3,)
    if len(listed) != channels:
        raise UsageError(
            who, expected=f"{channels} numbers", got=str(len(listed)), todo="Give one per channel."
        )
    return listed
