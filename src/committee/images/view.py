"""The geometry that training, inference and every exported file share: any photo in, one square out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from committee.errors import DataError, UsageError
from committee.images.blocks import blocks, lines
from committee.images.resample import whole

Fit = Literal["crop", "squash", "pad"]
MARGIN = 1.15


def canvas_size(size: int, fit: Fit = "crop") -> int:
    """Return the side of the canvas that a view of `size` pixels is cut from."""
    return math.ceil(round(MARGIN * size, 6)) if fit == "crop" else size


def frame(images: Tensor, size: int, fit: Fit) -> Tensor:
    """Bring images of any height and width to a square of `size`: the project's only resize.

    Parameters
    ----------
    images : uint8 `[B, c, H, W]`, or float32 in 0..255
    size : int
        Side of the square, in pixels.
    fit : "crop", "squash" or "pad"
        Keep the middle square; keep all and change the aspect; keep all on a black square.

    Returns
    -------
    float32 `[B, c, size, size]`, in 0..255
        Bilinear, antialiased. Images that have this size already come back as they were: uint8 stays uint8.
    """
    if fit == "crop":
        images = _middle_square(images)
    if fit == "pad":
        return _pad(images, size)
    return _resize(images, size, size)


def canvas(images: Tensor, size: int, fit: Fit) -> Tensor:
    """Return what the cache keeps of images: uint8 `[B, c, size, size]`, cut by `frame`."""
    framed = frame(images, size, fit)
    return framed if framed.dtype == torch.uint8 else whole(framed)


def center(images: Tensor, size: int) -> Tensor:
    """Return the middle `[B, c, size, size]` of square images."""
    start = (images.shape[-1] - size) // 2
    return images[..., start : start + size, start : start + size]


def _middle_square(images: Tensor) -> Tensor:
    # Cropping comes before resizing, so a panorama costs no more than its middle. index_select, since a slice
    # of symbolic length loses the static shape of what follows when the graph is exported.
    height, width = images.shape[-2:]
    if not torch.compiler.is_compiling() and height == width:
        return images
    side = torch.sym_min(height, width)
    steps = torch.arange(side, device=images.device)
    return images.index_select(2, steps + (height - side) // 2).index_select(3, steps + (width - side) // 2)


def _resize(images: Tensor, height: Any, width: Any) -> Tensor:
    if not torch.compiler.is_compiling() and images.shape[-2:] == (height, width):
        return images
    return functional.interpolate(images.float(), (height, width), mode="bilinear", antialias=True)


def _pad(images: Tensor, size: int) -> Tensor:
    side: Any = torch.sym_max(*images.shape[-2:])
    lengths: list[Any] = [torch.sym_max(length * size // side, 1) for length in images.shape[-2:]]
    height, width = lengths
    top, left = (size - height) // 2, (size - width) // 2
    edges = (left, size - width - left, top, size - height - top)
    return functional.pad(_resize(images, height, width), edges)


class View(nn.Module):
    """What a network sees of a photo: the geometry of its training, then its own scale.

    The shorter side goes to 1.15 x `size` (bilinear, antialiased), the middle is cut out (`fit="crop"`), and
    the channels are normalized. `squash` and `pad` show the whole image, so they need no margin.

    Parameters
    ----------
    size : int
        Side of the square that the network takes, in pixels.
    mean, std : float or sequence of `channels` floats
        Of the channels, for pixels in 0..1.
    fit : "crop", "squash" or "pad"
    channels : int
        1 or 3.
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
        scale = 1 / (255 * torch.tensor(self.std, dtype=torch.float64))
        shift = -torch.tensor(self.mean, dtype=torch.float64) * 255 * scale
        self.register_buffer("scale", scale.float(), persistent=False)
        self.register_buffer("shift", shift.float(), persistent=False)

    def options(self) -> dict[str, Any]:
        """Return the constructor's arguments, as plain JSON values."""
        return {
            "size": self.size,
            "mean": list(self.mean),
            "std": list(self.std),
            "fit": self.fit,
            "channels": self.channels,
        }

    def forward(self, images: Tensor) -> Tensor:
        """Turn uint8 `[B, c, H, W]` of any height and width into float32 `[B, c, size, size]`."""
        return self.normalize(self.cut(images))

    def cut(self, images: Tensor) -> Tensor:
        """Return the geometry alone: `[B, c, size, size]` in 0..255, uint8 unless it had to be resized."""
        if images.ndim != 4 or images.shape[1] != self.channels or images.dtype != torch.uint8:
            raise DataError(
                "images",
                expected=f"a batch uint8 [batch, {self.channels}, height, width]",
                got=f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}",
                todo="Give pixels in 0..255, with the member's number of channels.",
            )
        square = frame(images, canvas_size(self.size, self.fit), self.fit)
        return center(square, self.size)

    def normalize(self, pixels: Tensor, layout: torch.memory_format = torch.preserve_format) -> Tensor:
        """Scale pixels by the channels' mean and deviation.

        Parameters
        ----------
        pixels : uint8 or float32 `[B, c, H, W]`, in 0..255
        layout : torch.memory_format
            Of the result.

        Returns
        -------
        float32 `[B, c, H, W]`
        """
        if torch.compiler.is_compiling():
            return torch.addcmul(self.shift[:, None, None], pixels, self.scale[:, None, None])
        result = torch.empty_like(pixels, dtype=torch.float32, memory_format=layout)
        for part in blocks(result):
            block, shift, scale = lines(result[part].copy_(pixels[part]), self.shift, self.scale)
            torch.addcmul(shift, block, scale, out=block)
        return result


def _per_channel(who: str, values: float | Sequence[float], channels: int) -> tuple[float, ...]:
    listed = (float(values),) * channels if isinstance(values, int | float) else tuple(map(float, values))
    if len(listed) == 3 and channels == 1:
        listed = (sum(listed) / 3,)
    if len(listed) != channels:
        raise UsageError(
            who, expected=f"{channels} numbers", got=str(len(listed)), todo="Give one a channel."
        )
    return listed
