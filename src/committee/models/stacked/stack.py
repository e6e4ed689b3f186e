"""Networks of one architecture as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from committee.base.limits import require_some
from committee.errors import UsageError
from committee.models.stacked._check import check
from committee.models.stacked._weights import Weights
from committee.models.stacked.alike import NotStackable, difference, obstacle
from committee.models.stacked.dispatch import Dispatch
from committee.models.stacked.many import Many


class Stack(nn.Module):
    """Networks of one architecture that run and train as one.

    The parameters and buffers of the networks are copied into one tensor `[M, ...]` each, of which those of
    the networks become views. So the networks can be used as before: their `state_dict()`, optimizers, moving
    averages and checkpoints read and write the same memory, which exists once.

    A forward pass calls the first network, and computes each of its operations for all: matrix products with
    `torch.baddbmm`, convolutions with the channels of all networks side by side, in groups, and what has no
    such form by `torch.vmap`. The results are those of the networks one after the other up to rounding, batch
    norm (also its running statistics) and dropout included.

    Parameters
    ----------
    networks : sequence of M nn.Module
        Networks of one architecture, on one device, in one mode (training or evaluation).
    example : tensor [B, ...]
        Input of one network. All of them run on it once, alone and as one; outputs, buffers and gradients are
        compared.

    Attributes
    ----------
    networks : nn.ModuleList
    generators : list of torch.Generator or None
        That of each network, on its device, from which it draws the random numbers of dropout. On a CPU, it
        draws what it would draw alone from the global generator in the same state. If None, the default, all
        draw from the global generator.

    Raises
    ------
    NotStackable
        The networks have different architectures or share memory, a layer has hooks, the forward pass
        depends on the values of a tensor, or the results differ; the message says which.

    See Also
    --------
    groups : Finds networks that can share a stack.

    References
    ----------
    S. Wang et al., "Horizontally fused training array: An effective hardware utilization squeezer for
    training novel deep learning models", MLSys 2021.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from committee.models.stacked import Stack
    >>> nets = [nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)) for _ in range(5)]
    >>> x = torch.randn(3, 4)
    >>> stack = Stack(nets, x)
    >>> outputs = stack(x, shared=True)
    >>> outputs.shape, torch.allclose(outputs[4], nets[4](x), atol=1e-6)
    (torch.Size([5, 3, 2]), True)

    A batch for each network:

    >>> stack(torch.randn(5, 3, 4), shared=False).sum().backward()
    >>> stack.link_gradients()
    >>> nets[0][0].weight.grad.shape
    torch.Size([8, 4])
    """

    generators: list[torch.Generator] | None = None

    def __init__(self, networks: Sequence[nn.Module], example: Tensor) -> None:
        super().__init__()
        require_some("stack", len(networks), "network")
        self.networks = nn.ModuleList(networks)
        if not isinstance(example, Tensor):
            raise UsageError(
                "stack: example", expected="a tensor [B, ...]", got=f"a {type(example).__name__}"
            )
        require_some("stack: example", len(example), "row")
        _require_alike(self.networks)
        self._modes = list(zip(*(list(network.modules()) for network in self.networks), strict=True))
        self._weights = Weights(self.networks)
        try:
            check(self, self._weights, example)
        except BaseException:
            self.unstack()
            raise

    def forward(self, x: Tensor, *, shared: bool) -> Tensor:
        """Return the outputs `[M, B, C, ...]` of the networks.

        Parameters
        ----------
        x : tensor
            If `shared`, input `[B, ...]` of all networks; otherwise, inputs `[M, B, ...]`, one for each.
        shared : bool
        """
        for first, *others in self._modes:
            if any(other.training != first.training for other in others):
                raise NotStackable("some networks in training mode and others in evaluation mode")
        given = x if shared else x.as_subclass(Many)
        with Dispatch(self._weights.marked(), len(self.networks), self.generators) as dispatch:
            out: Any = self.networks[0](given)
        if dispatch.run.refused:
            raise dispatch.run.refused[0]
        if not isinstance(out, Tensor):
            raise NotStackable(f"a network that returns {type(out).__name__} instead of a tensor")
        return out.as_subclass(Tensor) if type(out) is Many else out.expand(len(self.networks), *out.shape)

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Yield the tensors `[M, ...]` of the parameters."""
        yield from self._weights.parameters

    def link_gradients(self) -> None:
        """Make the gradient of each network's parameters a view of that of the stack; call it once.

        Both then keep their memory: `zero_grad` fills it with zeros.
        """
        self._weights.link_gradients()

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Fill the gradients with zeros; with `set_to_none`, drop them, which ends their link."""
        if set_to_none:
            super().zero_grad(set_to_none=True)
            self.networks.zero_grad(set_to_none=True)
        else:
            self._weights.zero_grad()

    def unstack(self) -> None:
        """Give each network its own memory; the stack cannot be used any more."""
        self._weights.unstack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unstack()

    def _apply(self, *_: Any, **__: Any) -> Self:
        raise UsageError(
            "stack",
            expected="networks that stay on their device",
            got="a move",
            todo="Move them, then stack them.",
        )


def _require_alike(networks: Iterable[nn.Module]) -> None:
    first, *others = networks
    for other in others:
        if reason := difference(first, other):
            raise NotStackable(f"different networks: {reason}")
    for network in networks:
        if reason := obstacle(network):
            raise NotStackable(reason)
