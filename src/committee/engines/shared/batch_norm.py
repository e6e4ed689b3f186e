"""Folding of batch normalization into the layer before it, for inference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
FOLDABLE = (*CONVOLUTIONS, *TRANSPOSED, nn.Linear)
"""Layers that are linear in each channel of their output. Their subclasses may change the weights."""


def fold_batch_norm(module: nn.Module, example: Tensor) -> int:
    """Fold each batch normalization into the layer before it, and return how many were folded.

    The module runs once on the example. A normalization is folded if its inputs are the outputs of one
    convolution or linear layer, which nothing else reads. So the results do not change, but for rounding.

    Parameters
    ----------
    module : nn.Module
        The module, in evaluation mode; it is changed.
    example : tensor
        An input of the module.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from committee.engines.shared.batch_norm import fold_batch_norm
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    >>> fold_batch_norm(net, torch.zeros(1, 3, 8, 8)), net[1]
    (1, Identity())
    """
    pairs = _pairs(module, example)
    places = _places(module, [norm for _, norm in pairs])
    for layer, norm in pairs:
        _fold(layer, norm)
        for parent, name in places[norm]:
            setattr(parent, name, _what_remains(norm))
    return len(pairs)


class _Readers(TorchFunctionMode):
    """Notes which tensors are read outside of the normalizations.

    Attributes
    ----------
    layers : dict of nn.Module to list of tensor
        The outputs of each layer.
    norms : dict of nn.Module to list of tensor
        The inputs of each normalization.
    read : set of int
        Identities of the outputs of layers that are read elsewhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[nn.Module, list[Tensor]] = defaultdict(list)
        self.norms: dict[nn.Module, list[Tensor]] = defaultdict(list)
        self.read: set[int] = set()
        self._made: set[int] = set()
        self._inside = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if not self._inside:
            self.read |= self._made & set(map(id, tree_leaves((args, kwargs))))
        return func(*args, **(kwargs or {}))

    def begin(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.norms[norm].append(inputs[0])
        self._inside += 1

    def end(self, *_: object) -> None:
        self._inside -= 1

    def made(self, layer: nn.Module, _: object, output: Tensor) -> None:
        self.layers[layer].append(output)
        self._made.add(id(output))


@contextmanager
def _noted(module: nn.Module) -> Iterator[_Readers]:
    """Note inside the block what the layers of a module read and return."""
    readers, handles = _Readers(), []
    for part in module.modules():
        if type(part) in FOLDABLE and _has_own_weights(part):
            handles.append(part.register_forward_hook(readers.made))
        elif _is_foldable(part):
            handles.append(part.register_forward_pre_hook(readers.begin))
            handles.append(part.register_forward_hook(readers.end))
    try:
        with readers:
            yield readers
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _pairs(module: nn.Module, example: Tensor) -> list[tuple[nn.Module, nn.Module]]:
    """Return the layers with the normalizations that alone read their outputs."""
    with _noted(module) as readers:
        module(example)
    makers = {id(output): layer for layer, outputs in readers.layers.items() for output in outputs}
    sources = {norm: {makers.get(id(each)) for each in inputs} for norm, inputs in readers.norms.items()}
    found = []
    for norm, layers in sources.items():
        layer = next(iter(layers))
        if len(layers) > 1 or layer is None:
            continue
        inputs = {id(each) for each in readers.norms[norm]}
        outputs = {id(each) for each in readers.layers[layer]}
        shared = any(layer in others for other, others in sources.items() if other is not norm)
        if inputs == outputs and not outputs & readers.read and not shared:
            found.append((layer, norm))
    return found


def _has_own_weights(layer: nn.Module) -> bool:
    """Return whether the weights of a layer are parameters, and no hook changes what it does."""
    hooks = layer._forward_hooks or layer._forward_pre_hooks
    return isinstance(layer._parameters.get("weight"), nn.Parameter) and not hooks


def _is_foldable(part: nn.Module) -> bool:
    """Return whether a part is a batch normalization with stored statistics, of torch or of timm."""
    known = type(part).__module__.startswith("torch.nn") or _activation(part) is not None
    return isinstance(part, _BatchNorm) and known and part.running_mean is not None


def _activation(norm: nn.Module) -> nn.Module | None:
    """Return what timm's normalizations with an activation do after the normalization."""
    drop, act = (norm._modules.get(name) for name in ("drop", "act"))
    if type(norm).__name__ == "BatchNormAct2d" and drop is not None and act is not None:
        return nn.Sequential(drop, act)
    return None


def _what_remains(norm: nn.Module) -> nn.Module:
    return _activation(norm) or nn.Identity()


def _places(module: nn.Module, norms: Sequence[nn.Module]) -> dict[nn.Module, list[tuple[nn.Module, str]]]:
    """Return the parents of each normalization, and its names in them."""
    found: dict[nn.Module, list[tuple[nn.Module, str]]] = {norm: [] for norm in norms}
    for parent in module.modules():
        for name, child in parent.named_children():
            if child in found:
                found[child].append((parent, name))
    return found


@torch.no_grad()
def _fold(layer: Any, norm: Any) -> None:
    """Change the weights of a layer to those of the layer and the normalization."""
    fuse: Callable[..., tuple[nn.Parameter, nn.Parameter]] = (
        fuse_linear_bn_weights
        if isinstance(layer, nn.Linear)
        else partial(fuse_conv_bn_weights, transpose=isinstance(layer, TRANSPOSED))
    )
    layer.weight, layer.bias = fuse(
        layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
