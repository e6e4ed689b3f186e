"""Copies of a module whose networks run in another form; preprocessing and combiners stay as they are."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from committee.backbones.base import Backbone
from committee.engines.shared.batch_norm import fold_batch_norm


def networks_of(module: nn.Module) -> list[nn.Module]:
    """Return the networks in a module, without their preprocessing; those without any as a whole.

    Examples
    --------
    >>> from torch import nn
    >>> from committee.engines.shared.networks import networks_of
    >>> from committee.models import Ensemble, Member
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    >>> networks_of(Ensemble([Member.from_module(net, classes=["cat", "dog"], size=8)]))[0] is net
    True
    """
    parts = [module, *getattr(module, "members", ())]
    bare = [part for part in parts if not any(isinstance(each, Backbone) for each in part.modules())]
    if module in bare:
        return [module]
    return [part.net for part in module.modules() if isinstance(part, Backbone)] + bare


def inference_copy(module: nn.Module, example: Tensor, dtype: torch.dtype) -> nn.Module:
    """Return a copy of a module for inference alone.

    Batch normalization is folded into the layer before it, and the weights and feature maps of networks are
    stored by pixels (channels last), as most kernels of convolutions read them.

    Parameters
    ----------
    module : nn.Module
        A module of images, in evaluation mode.
    example : tensor [B, c, H, W]
        Images.
    dtype : torch.dtype
        Type of the weights and features of the networks, which return float32.
    """
    found = copy.deepcopy(module).requires_grad_(False)
    fold_batch_norm(found, example[:1])
    for net in networks_of(found):
        net.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        net.register_forward_pre_hook(_Convert(dtype))
        net.register_forward_hook(_as_float)
    return found


class _Convert:
    """Gives floating images to a network in its type, channels last; a class, so that it can be copied."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tree_map_only(Tensor, self._converted, inputs)

    def _converted(self, images: Tensor) -> Tensor:
        if not images.is_floating_point():
            return images
        images = images.to(self.dtype)
        return images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images


def _as_float(_: nn.Module, inputs: object, output: Any) -> Any:
    """Return the output of a network, a tensor or a structure of tensors, as float32."""
    return tree_map_only(Tensor, lambda each: each.float() if each.is_floating_point() else each, output)
