"""Color operations with an amount `[B]` for each sample, on float32 `[B, c, H, W]` in 0..255."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from committee.images.blocks import blocks, colors_last, lines
from committee.images.view import View

_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""Matrix from RGB to luma and chroma (NTSC 1953); the rows of the chroma sum to zero."""


def _mix(pixels: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """Interpolate from `other` (factor 0) to `pixels` (factor 1); extrapolate above 1."""
    return torch.lerp(other, pixels, factor[:, None, None, None]).clamp_(0, 255)


def _luma(like: Tensor, channels: int) -> Tensor:
    """Return the weight of each channel in the luma, `[c]` (ITU-R 601)."""
    return like.new_tensor([0.299, 0.587, 0.114] if channels == 3 else [1.0])


def _gray(pixels: Tensor) -> Tensor:
    return (pixels * _luma(pixels, pixels.shape[1])[:, None, None]).sum(1, keepdim=True)


def jitter(
    pixels: Tensor,
    factors: Tensor,
    turns: Tensor,
    view: View | None = None,
    layout: torch.memory_format = torch.preserve_format,
) -> Tensor:
    """Change brightness, contrast, saturation and hue, in this order, and normalize like `view`, in one pass.

    All of these are linear in the color of a pixel and are applied as one matrix; only the result is clipped
    to 0..255.

    Parameters
    ----------
    pixels : uint8 or float32 `[B, c, H, W]`, in 0..255
    factors : float32 `[3, B]`
        Factors of brightness, contrast and saturation; 1 has no effect.
    turns : float32 `[B]`
        Rotation of the hue, as a share of the color circle; see `rotations`.
    view : View, optional
        The normalization. If omitted, the result is in 0..255.
    layout : torch.memory_format
        Memory format of the result.

    Returns
    -------
    float32 `[B, c, H, W]`
    """
    bright, contrasted, saturated = factors
    luma = _luma(bright, pixels.shape[1])
    scale, shift = (
        (torch.ones_like(luma), torch.zeros_like(luma)) if view is None else (view.scale, view.shift)
    )
    mixing = saturated[:, None, None] * torch.eye(len(luma), device=pixels.device)
    mixing = (mixing + (1 - saturated)[:, None, None] * luma) * (bright * contrasted)[:, None, None]
    mixing = rotations(turns) @ mixing if len(luma) == 3 else mixing
    mixing, gray = scale[:, None] * mixing, bright * (1 - contrasted)
    result = torch.empty_like(pixels, dtype=torch.float32, memory_format=layout)
    _, scale, shift, luma = lines(result, scale, shift, luma)
    low, high = shift, 255 * scale + shift
    for part in blocks(pixels):
        changed = lines(result[part])[0]
        block = torch.empty_like(result[part]).copy_(pixels[part])
        offset = (gray[part] * _mean_gray(block, luma)).view(-1, *[1] * (changed.ndim - 1))
        changed.copy_(torch.addcmul(shift, offset, scale))
        _add_products(result[part], mixing[part], block)
        changed.clamp_(low, high)
    return result


def rotations(turns: Tensor) -> Tensor:
    """Return the matrices `[B, 3, 3]` that rotate the hue of RGB colors in the chroma plane of YIQ.

    Luma, saturation and gray colors are unchanged. torchvision shifts the hue of HSV instead, which is not
    linear and changes the luma.
    """
    to_yiq = turns.new_tensor(_YIQ)
    angle, zero = 2 * math.pi * turns, torch.zeros_like(turns)
    cos, sin = angle.cos(), angle.sin()
    rows = (zero + 1, zero, zero, zero, cos, -sin, zero, sin, cos)
    return to_yiq.inverse() @ torch.stack(rows, dim=1).view(-1, 3, 3) @ to_yiq


def _mean_gray(pixels: Tensor, luma: Tensor) -> Tensor:
    """Return the mean luma `[B]` of images `[B, c, H, W]`; `luma` is in the order of `lines`."""
    mean = lines(pixels)[0].mean(1 if colors_last(pixels) else (2, 3), keepdim=True)
    return (mean * luma).flatten(1).sum(1) / luma.sum()


def _add_products(result: Tensor, mixing: Tensor, pixels: Tensor) -> None:
    """Add `mixing` `[B, c, c]` @ `pixels` to `result`, both `[B, c, H, W]`."""
    if not colors_last(pixels):
        result.flatten(2).baddbmm_(mixing, pixels.flatten(2))
        return
    # Products with 3 x 3 matrices are slow, so four adjacent pixels are multiplied by one 12 x 12 matrix.
    side = math.gcd(4, pixels.shape[2] * pixels.shape[3])
    shape = (len(pixels), -1, side * pixels.shape[1])
    several = torch.kron(torch.eye(side, device=pixels.device), mixing.mT.contiguous())
    result.permute(0, 2, 3, 1).view(shape).baddbmm_(pixels.permute(0, 2, 3, 1).view(shape), several)


def brightness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Interpolate with black."""
    return _mix(pixels, torch.zeros_like(pixels), factor)


def contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    """Interpolate with the mean luma of the image."""
    return _mix(pixels, _gray(pixels).mean((1, 2, 3), keepdim=True).expand_as(pixels), factor)


def saturation(pixels: Tensor, factor: Tensor) -> Tensor:
    """Interpolate with the grayscale image."""
    return _mix(pixels, _gray(pixels).expand_as(pixels), factor)


def sharpness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Interpolate with the image blurred by [[1,1,1],[1,5,1],[1,1,1]] / 13, except at its border."""
    channels = pixels.shape[1]
    kernel = pixels.new_ones(3, 3)
    kernel[1, 1] = 5
    weight = (kernel / 13).expand(channels, 1, 3, 3)
    blurred = pixels.clone()
    blurred[..., 1:-1, 1:-1] = functional.conv2d(pixels, weight, groups=channels)
    return _mix(pixels, blurred, factor)


def posterize(pixels: Tensor, bits: Tensor) -> Tensor:
    """Keep the upper `bits` of each value."""
    step = torch.exp2(8 - bits)[:, None, None, None]
    return (pixels / step).floor() * step


def solarize(pixels: Tensor, threshold: Tensor) -> Tensor:
    """Invert the values from `threshold` up."""
    return torch.where(pixels >= threshold[:, None, None, None], 255 - pixels, pixels)


def autocontrast(pixels: Tensor, amount: Tensor) -> Tensor:
    """Stretch each channel to 0..255; `amount` is ignored."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    flat = high <= low
    return torch.where(flat, pixels, (pixels - low) * (255 / (high - low).masked_fill(flat, 1)))


def equalize(pixels: Tensor, amount: Tensor) -> Tensor:
    """Equalize the histogram of each channel; `amount` is ignored."""
    levels = pixels.round().long().flatten(2)
    histogram = torch.zeros(*levels.shape[:2], 256, device=pixels.device)
    histogram.scatter_add_(2, levels, torch.ones_like(levels, dtype=torch.float32))
    below = histogram.cumsum(2) - histogram
    rest = levels.shape[2] - histogram.gather(2, levels.amax(2, keepdim=True))
    table = torch.where(
        rest > 0, (below * 255 / rest.clamp(min=1)).clamp(max=255), torch.arange(256.0, device=pixels.device)
    )
    return table.gather(2, levels).view_as(pixels)
