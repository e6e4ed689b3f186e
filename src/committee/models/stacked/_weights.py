"""Parameters and buffers of several networks in one tensor each, of which those of the networks are views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from committee.models.stacked.alike import NotStackable, tensors
from committee.models.stacked.many import Many

MB = 1e6


class Weights:
    """The tensors `[M, ...]` of networks of one architecture.

    The networks keep their parameters and buffers as objects; their memory becomes a part of that of the
    stack, so that it exists once.

    Parameters
    ----------
    networks : iterable of M nn.Module

    Attributes
    ----------
    leaves : list of Tensor
        `[M, ...]`, for each parameter (a `nn.Parameter`) and each buffer of a network.
    parts : list of tuple of M Tensor
        The parameters or buffers of the networks that are views of each leaf.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        self.parts = list(zip(*map(_tensors, networks), strict=True))
        _require_own([each for part in self.parts for each in part])
        self.leaves = [_joined(part) for part in self.parts]
        self._marked: dict[int, Tensor] = {}

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The leaves that are trained."""
        return [leaf for leaf in self.leaves if isinstance(leaf, nn.Parameter)]

    @property
    def buffers(self) -> list[Tensor]:
        """The leaves that are not trained."""
        return [leaf for leaf in self.leaves if not isinstance(leaf, nn.Parameter)]

    def pairs(self) -> list[tuple[Tensor, tuple[Tensor, ...]]]:
        """Return each leaf with its parts."""
        return list(zip(self.leaves, self.parts, strict=True))

    def marked(self) -> dict[int, Tensor]:
        """Return each leaf as `Many`, by the `id` of the tensor of the first network."""
        if not torch.is_grad_enabled():
            self._marked = self._marked or self._mark()
            return self._marked
        for leaf, part in self.pairs():
            if leaf.requires_grad != (needed := any(own.requires_grad for own in part)):
                leaf.requires_grad_(needed)
        return self._mark()

    def _mark(self) -> dict[int, Tensor]:
        return {id(part[0]): leaf.as_subclass(Many) for leaf, part in self.pairs()}

    def link_gradients(self) -> None:
        """Make the gradient of each parameter a view of that of its leaf, which is made if there is none."""
        for leaf, part in self.pairs():
            if leaf.requires_grad:
                if leaf.grad is None:
                    leaf.grad = torch.zeros_like(leaf)
                for own, gradient in zip(part, leaf.grad, strict=True):
                    own.grad = gradient if own.requires_grad else None

    def zero_grad(self) -> None:
        """Fill the gradients with zeros; they keep their memory."""
        torch._foreach_zero_([leaf.grad for leaf in self.leaves if leaf.grad is not None])

    def unstack(self) -> None:
        """Give each network its own memory."""
        for part in self.parts:
            for own in part:
                own.data = own.data.clone()
                own.grad = None if own.grad is None else own.grad.clone()


def _tensors(network: nn.Module) -> list[Tensor]:
    return [each for _, each in tensors(network)]


def _require_own(each: Sequence[Tensor]) -> None:
    """Raise NotStackable if two tensors are one, or have the same memory."""
    places = [tensor.data_ptr() for tensor in each if tensor.numel()]
    if len(set(places)) < len(places):
        raise NotStackable("networks that share parameters or buffers with each other")


def _joined(part: Sequence[Tensor]) -> Tensor:
    """Move tensors into one, of which they become views."""
    first = part[0]
    try:
        leaf = torch.empty(len(part), *first.shape, dtype=first.dtype, device=first.device)
    except (RuntimeError, MemoryError) as error:
        size = len(part) * first.numel() * first.element_size() / MB
        raise NotStackable(f"no free memory for a tensor of {size:,.1f} MB") from error
    for own, view in zip(part, leaf, strict=True):
        view.copy_(own.detach())
        own.data = view
    return nn.Parameter(leaf, first.requires_grad) if isinstance(first, nn.Parameter) else leaf
