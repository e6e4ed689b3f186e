"""A combiner applied to many rows, some of them at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.predictions.blocks import Blocks, blocks_of

TILE = 2**18
TILE_OF_BLOCKS = 2**24
"""Logits that are read from a file at once (64 MB); each access of a file has a fixed cost."""


class Rule(Protocol):
    """The part of a combiner that is used here."""

    member_names: tuple[str, ...]

    def infer(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""

    def forward_lazy(self, query: Callable[[int, Tensor | None], Tensor]) -> Tensor:
        """Return the same, requesting logits member by member."""


@torch.no_grad()
def combined(
    rule: Rule, logits: NDArray[np.floating[Any]], rows: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Return log-probabilities, float32 `[N, C, ...]`, of some rows of logits `[M, N, C, ...]`, or of all.

    Of logits that are not in memory (`Blocks`), only those are read that can change the result.
    """
    kept = blocks_of(logits)
    tile = TILE if kept is None else TILE_OF_BLOCKS
    block = max(16, tile // max(1, len(logits) * int(np.prod(logits.shape[2:]))))
    count = logits.shape[1] if rows is None else len(rows)
    result = np.empty((count, *logits.shape[2:]), np.float32)
    for start in range(0, count, block):
        span = slice(start, start + block)
        some = span if rows is None else rows[span]
        if kept is None or kept.ndim > 3 or not rule.member_names:  # without a fit, all members are read
            found = rule.infer(torch.from_numpy(np.array(logits[:, some])))
        else:
            found = rule.forward_lazy(_reader(kept, np.arange(kept.shape[1])[some]))
        result[span] = found.numpy()
    return result


def _reader(logits: Blocks, rows: NDArray[np.int64]) -> Callable[[int, Tensor | None], Tensor]:
    """Return the query of a lazy combiner for logits of some rows, which are in ascending order."""

    def query(member: int, some: Tensor | None) -> Tensor:
        found = logits[member, rows if some is None else rows[some.numpy()]]
        return torch.from_numpy(found)

    return query
