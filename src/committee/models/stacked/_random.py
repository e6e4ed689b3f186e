"""Operations that draw random numbers: each network from its own generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from committee.models.stacked.fallback import Rule, Run, in_place
from committee.models.stacked.many import expanded

Call = Callable[..., Any]

DRAWS = [
    "empty",
    "new_empty",
    "empty_like",
    "bernoulli",
    "bernoulli_",
    "rand",
    "randn",
    "randint",
    "randperm",
    "rand_like",
    "randn_like",
    "randint_like",
    "normal",
    "normal_",
    "uniform_",
    "exponential_",
    "geometric_",
    "log_normal_",
    "cauchy_",
    "random_",
    "poisson",
    "multinomial",
    "binomial",
    "gumbel_softmax",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_dropout",
    "feature_alpha_dropout",
    "rrelu",
    "rrelu_",
]


def drawn(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call a function for one network after the other.

    Uninitialized memory is one tensor for each network too: random numbers may be written to it.
    """
    if func.__name__.endswith("_"):
        return in_place(run, func, args, kwargs)
    return run.one_by_one(func, args, kwargs)


def dropout(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Zero elements; the numbers that decide are those that each network would draw alone."""
    x, p, training, inplace = _dropout(*args, **kwargs)
    if not training or p == 0:
        return x
    x = expanded(x, run.count)
    if run.generators is None or p == 1:
        return torch.nn.functional.dropout(x, p)
    # Numbers are drawn in the order of memory: that of each network has to be its own.
    draws = (
        torch.empty_like(each).bernoulli_(1 - p, generator=generator)
        for each, generator in zip(x, run.generators, strict=True)
    )
    kept = torch.stack(list(draws)).div_(1 - p)
    return x.mul_(kept) if inplace else x * kept


def _dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, train: bool = True
) -> tuple[Tensor, float, bool, bool]:
    return input, p, training and train, inplace


RULES: dict[str, Rule] = {
    **dict.fromkeys(DRAWS, drawn),
    "dropout": dropout,
}
OF_ALL = (drawn, dropout)
"""Rules of operations whose result differs among the networks, also if their input does not."""
