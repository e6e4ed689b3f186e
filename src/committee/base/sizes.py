"""Arithmetic on sizes that a graph may record: whole numbers, symbols of `torch.export`, or tensors."""

from __future__ import annotations

from typing import Any

import torch


def least(first: Any, second: Any) -> Any:
    """Return the smaller of two sizes.

    Examples
    --------
    >>> from committee.base.sizes import least
    >>> least(3, 4)
    3
    """
    if isinstance(first, torch.Tensor):  # `torch.jit.trace` records sizes as tensors
        return torch.clamp(first, max=second)
    return torch.sym_min(first, second)


def greatest(first: Any, second: Any) -> Any:
    """Return the larger of two sizes.

    Examples
    --------
    >>> from committee.base.sizes import greatest
    >>> greatest(3, 4)
    4
    """
    if isinstance(first, torch.Tensor):
        return torch.clamp(first, min=second)
    return torch.sym_max(first, second)
