"""Conditionally parameterized convolution (CondConv; Yang 2019) that can be exported with any batch size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from committee.base.compiler import deferred_compiler
from committee.base.tracing import is_tracing

with deferred_compiler():
    from timm.layers import CondConv2d
    from timm.layers.padding import pad_same


class ExpertConv2d(CondConv2d):
    """timm's CondConv2d, which in an exported graph convolves with each expert and mixes the results.

    timm mixes the experts' kernels for each image and runs one convolution with one group per image. An
    exported graph cannot have a convolution whose number of groups is the batch size. Since convolution is
    linear, mixing the results is equivalent.

    See Also
    --------
    make_exportable : Convert the layers of a network.
    """

    def forward(self, x: Tensor, routing_weights: Tensor) -> Tensor:
        """Convolve `[B, c, H, W]` with kernels mixed by `[B, experts]`."""
        if not is_tracing():
            return super().forward(x, routing_weights)
        if self.dynamic_padding:
            x = pad_same(x, self.kernel_size, self.stride, self.dilation)
        kernels = self.weight.view(self.num_experts, *self.weight_shape)
        results = torch.stack([self._convolve(x, kernels, expert) for expert in range(self.num_experts)])
        return (routing_weights.t()[..., None, None, None] * results).sum(0)

    def _convolve(self, x: Tensor, kernels: Tensor, expert: int) -> Tensor:
        bias = None if self.bias is None else self.bias[expert]
        return functional.conv2d(
            x, kernels[expert], bias, self.stride, self.padding, self.dilation, self.groups
        )


def make_exportable(net: nn.Module) -> None:
    """Make the conditional convolutions of `net` exportable; weights and names do not change."""
    for layer in net.modules():
        if type(layer) is CondConv2d:
            layer.__class__ = ExpertConv2d
