"""Changes of colour, each sample by its own amount: float32 `[B, c, H, W]` in 0..255, amounts `[B]`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def _mix(pixels: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """Return `other` at factor 0, `pixels` at 1, and beyond above it."""
    return torch.lerp(other, pixels, factor[:, None, None, None]).clamp_(0, 255)


def _luma(pixels: Tensor) -> Tensor:
    """Return how much each channel adds to grey, `[c]` (ITU-R 601)."""
    return pixels.new_tensor([0.299, 0.587, 0.114] if pixels.shape[1] == 3 else [1.0])


def _grey(pixels: Tensor) -> Tensor:
    return (pixels * _luma(pixels)[:, None, None]).sum(1, keepdim=True)


def jitter(pixels: Tensor, bright: Tensor, contrasted: Tensor, saturated: Tensor) -> Tensor:
    """Change brightness, then contrast, then saturation, in one pass over the pixels.

    Each is linear in the colours of a pixel, so all three are one matrix; only the end is cut to 0..255.
    """
    luma = _luma(pixels)
    mean = pixels.mean((2, 3)) @ luma
    mixing = saturated[:, None, None] * torch.eye(len(luma), device=pixels.device)
    mixing = (mixing + (1 - saturated)[:, None, None] * luma) * (bright * contrasted)[:, None, None]
    offset = (bright * (1 - contrasted) * mean)[:, None, None]
    return torch.baddbmm(offset, mixing, pixels.flatten(2)).view_as(pixels).clamp_(0, 255)


def brightness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Mix with black."""
    return _mix(pixels, torch.zeros_like(pixels), factor)


def contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    """Mix with the image's mean grey."""
    return _mix(pixels, _grey(pixels).mean((1, 2, 3), keepdim=True).expand_as(pixels), factor)


def saturation(pixels: Tensor, factor: Tensor) -> Tensor:
    """Mix with the grey image."""
    return _mix(pixels, _grey(pixels).expand_as(pixels), factor)


def sharpness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Mix with the image blurred by [[1,1,1],[1,5,1],[1,1,1]] / 13, its border kept."""
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
    """Stretch each channel to 0..255; `amount` has no say."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    flat = high <= low
    return torch.where(flat, pixels, (pixels - low) * (255 / (high - low).masked_fill(flat, 1)))


def equalize(pixels: Tensor, amount: Tensor) -> Tensor:
    """Make each channel's histogram flat; `amount` has no say."""
    levels = pixels.round().long().flatten(2)
    histogram = torch.zeros(*levels.shape[:2], 256, device=pixels.device)
    histogram.scatter_add_(2, levels, torch.ones_like(levels, dtype=torch.float32))
    below = histogram.cumsum(2) - histogram
    rest = levels.shape[2] - histogram.gather(2, levels.amax(2, keepdim=True))
    table = torch.where(
        rest > 0, (below * 255 / rest.clamp(min=1)).clamp(max=255), torch.arange(256.0, device=pixels.device)
    )
    return table.gather(2, levels).view_as(pixels)
