"""Networks with fewer channels than their architecture: tensors of smaller shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Shapes = Mapping[str, Sequence[int]]
"""Name of a parameter or buffer in the state dict -> its shape."""


def narrow(net: nn.Module, shapes: Shapes) -> None:
    """Give convolutions, linear layers and batch norms of a network smaller shapes, in place.

    The first channels of each tensor are kept, so the values have to be loaded afterwards.

    Parameters
    ----------
    net : nn.Module
        On any device, the meta device included.
    shapes : mapping of str to sequence of int
        Name of a parameter or buffer in the state dict -> its shape. Other tensors stay as they are.

    Raises
    ------
    ValueError
        A tensor does not exist, or a shape is larger than that of the network.

    Examples
    --------
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    >>> kept = {"0.weight": [5, 3, 3, 3], "0.bias": [5], **{f"1.{name}": [5] for name in ("weight", "bias")}}
    >>> narrow(net, kept | {"1.running_mean": [5], "1.running_var": [5]})
    >>> net[0].out_channels, net[1].num_features
    (5, 5)
    """
    for key, shape in shapes.items():
        path, _, name = key.rpartition(".")
        module = net.get_submodule(path) if path else net
        tensor = getattr(module, name, None)
        if not isinstance(tensor, Tensor) or not _fits(shape, tensor.shape):
            raise ValueError(f"a shape {list(shape)} of '{key}'")
        smaller = tensor.detach()[tuple(slice(length) for length in shape)].clone()
        parameter = isinstance(tensor, nn.Parameter)
        setattr(module, name, nn.Parameter(smaller, tensor.requires_grad) if parameter else smaller)
        if name == "weight":
            _describe(module)


def _fits(shape: Sequence[int], whole: Sequence[int]) -> bool:
    return len(shape) == len(whole) and all(
        0 < part <= all_of for part, all_of in zip(shape, whole, strict=True)
    )


def _describe(module: nn.Module) -> None:
    """Set the numbers of channels that a module states to those of its weight."""
    if isinstance(module, nn.Conv2d):
        depthwise = module.groups == module.in_channels > 1
        module.out_channels, inputs = module.weight.shape[:2]
        module.groups = module.out_channels if depthwise else module.groups
        module.in_channels = inputs * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _BatchNorm):
        module.num_features = module.weight.shape[0]
