"""What an ensemble says of stored rows: some rows of all members are in memory at a time, never all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners.base import Combiner
from committee.errors import StoreError
from committee.pipeline.shared.splits import split_folder, split_rows
from committee.predictions.store_format import read_logits
from committee.predictions.table import Predictions
from committee.store.layout import Store

AT_ONCE = 2**22
"""Numbers read at a time, 16 MB: a slice of every member's file, which is closed again."""


def combined(
    store: Store, combiner: Combiner, members: Sequence[str], split: str, deployed: Mapping[str, str]
) -> tuple[NDArray[np.float32], Predictions]:
    """Combine the members' stored predictions of a split.

    Returns
    -------
    log_probs : float32 [N, C]
    rows : Predictions
        Those of the first member, which say what the rows are.

    Raises
    ------
    StoreError
        A member lacks them, they are damaged, or they are of other rows.
    """
    first = split_rows(store, members[:1], split, deployed)
    for name in members[1:]:
        _require_alike(split_rows(store, [name], split, deployed), first)
    folders = [split_folder(store, name, split, deployed[name]) for name in members]
    return _combined(combiner, folders, first.logits.shape[1:]), first


def asked(
    store: Store, combiner: Combiner, members: Sequence[str], split: str, deployed: Mapping[str, str]
) -> dict[str, float]:
    """Return the share of the rows of a split that a rule asks each member about.

    Raises
    ------
    StoreError
        A member lacks predictions of them, or they are damaged.
    """
    first = split_rows(store, members[:1], split, deployed)
    folders = [split_folder(store, name, split, deployed[name]) for name in members]
    counts = dict.fromkeys(members, 0)
    for _, logits in _tiles(folders, first.logits.shape[1:]):
        tile = torch.from_numpy(logits)
        said = torch.zeros(tile.shape[:2], dtype=torch.bool)

        def query(member: int, rows: Tensor | None, tile: Tensor = tile, said: Tensor = said) -> Tensor:
            # Several rules may ask: a network runs on a row once.
            said[member, slice(None) if rows is None else rows] = True
            return tile[member] if rows is None else tile[member][rows]

        combiner.forward_lazy(query)
        for name, rows in zip(members, said, strict=True):
            counts[name] += int(rows.sum())
    return {name: number / len(first) for name, number in counts.items()}


def _combined(combiner: Combiner, folders: Sequence[Path], shape: tuple[int, ...]) -> NDArray[np.float32]:
    result = np.empty(shape, np.float32)
    for span, logits in _tiles(folders, shape):
        result[span] = combiner.combine(logits)
    return result


def _tiles(folders: Sequence[Path], shape: tuple[int, ...]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Return some rows after the other, and all members' logits of them, `[M, R, C, ...]`."""
    step = max(1, AT_ONCE // (len(folders) * int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        span = slice(start, start + step)
        yield span, np.concatenate([read_logits(folder, span) for folder in folders])


def _require_alike(rows: Predictions, first: Predictions) -> None:
    same = rows.class_names == first.class_names and all(
        np.array_equal(getattr(rows, column), getattr(first, column))
        for column in ("sample_ids", "labels", "groups")
    )
    if not same:
        raise StoreError(
            rows.members[0],
            expected=f"predictions of the rows that {first.members[0]} has",
            got="others",
            todo="Run: committee train RECIPE",
        )
