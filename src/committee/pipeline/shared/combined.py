"""Outputs of ensembles on stored predictions, computed in slices of rows to bound memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners.base import Combiner
from committee.errors import StoreError
from committee.pipeline.shared.splits import split_folder, split_rows
from committee.predictions.store_format import read_logits
from committee.predictions.table import Predictions
from committee.scoring.distributions import spread_of_members, with_variances
from committee.store.layout import Store

SLICE_VALUES = 2**22
"""Values that are read at a time from the files of all members: 16 MB."""


def combined(
    store: Store, combiner: Combiner, members: Sequence[str], split: str, deployed: Mapping[str, str]
) -> tuple[NDArray[np.float32], Predictions]:
    """Combine the members' stored predictions of a split.

    Returns
    -------
    log_probs : float32 [N, C]
    rows : Predictions
        The predictions of the first member, with the ids and labels of the rows.

    Raises
    ------
    StoreError
        A member has no such predictions, they are damaged, or they are of other rows.
    """
    first = split_rows(store, members[:1], split, deployed)
    for name in members[1:]:
        _require_same_rows(split_rows(store, [name], split, deployed), first)
    folders = [split_folder(store, name, split, deployed[name]) for name in members]
    return _combined(combiner, folders, first.logits.shape[1:]), first


class Distribution(NamedTuple):
    """What an ensemble predicts of numbers.

    Attributes
    ----------
    outputs : float array [N, C], or [N, T, 2]
        Outputs, or numbers and their variances if the members predict variances.
    spread : float64 array [N, T] or None
        Standard deviation of each number, of the members if they predict none; None without several members.
    """

    outputs: NDArray[np.floating[Any]]
    spread: NDArray[np.float64] | None


def distribution(
    store: Store,
    combiner: Combiner,
    members: Sequence[str],
    split: str,
    deployed: Mapping[str, str],
    outputs: NDArray[np.float32],
) -> Distribution:
    """Return the distributions of the `outputs` that `combined` returned; raise what it raises."""
    if not combiner.task.variances:
        return Distribution(outputs, None)
    rows = split_rows(store, members, split, deployed)
    return Distribution(with_variances(outputs, combiner, rows), spread_of_members(outputs, combiner, rows))


def usage(
    store: Store, combiner: Combiner, members: Sequence[str], split: str, deployed: Mapping[str, str]
) -> dict[str, float]:
    """Return the share of the rows of a split for which lazy evaluation queries each member.

    Raises
    ------
    StoreError
        A member has no predictions of the split, or they are damaged.
    """
    first = split_rows(store, members[:1], split, deployed)
    folders = [split_folder(store, name, split, deployed[name]) for name in members]
    counts = dict.fromkeys(members, 0)
    for _, logits in tiles(folders, first.logits.shape[1:]):
        tile = torch.from_numpy(logits)
        used = torch.zeros(tile.shape[:2], dtype=torch.bool)

        def query(member: int, rows: Tensor | None, tile: Tensor = tile, used: Tensor = used) -> Tensor:
            # Several combiners may query a member for a row; the network runs once.
            used[member, slice(None) if rows is None else rows] = True
            return tile[member] if rows is None else tile[member][rows]

        combiner.forward_lazy(query)
        for name, rows in zip(members, used, strict=True):
            counts[name] += int(rows.sum())
    return {name: number / len(first) for name, number in counts.items()}


def _combined(combiner: Combiner, folders: Sequence[Path], shape: tuple[int, ...]) -> NDArray[np.float32]:
    result = np.empty(shape, np.float32)
    for span, logits in tiles(folders, shape):
        result[span] = combiner.combine(logits)
    return result


def tiles(folders: Sequence[Path], shape: tuple[int, ...]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield slices of the rows, each with the logits of all members, `[M, R, C, ...]`."""
    step = max(1, SLICE_VALUES // (len(folders) * int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        span = slice(start, start + step)
        yield span, np.concatenate([read_logits(folder, span) for folder in folders])


def _require_same_rows(rows: Predictions, first: Predictions) -> None:
    same = rows.class_names == first.class_names and all(
        np.array_equal(getattr(rows, column), getattr(first, column))
        for column in ("sample_ids", "labels", "groups")
    )
    if not same:
        raise StoreError(
            rows.members[0],
            expected=f"predictions of the same rows as {first.members[0]}",
            got="predictions of others",
            todo="Run: committee train RECIPE",
        )
