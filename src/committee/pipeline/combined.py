"""What an ensemble says of stored rows: some rows of all members are in memory at a time, never all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from committee.combiners._base import Combiner
from committee.errors import StoreError
from committee.pipeline.splits import split_folder, split_rows
from committee.predictions import Predictions, read_logits
from committee.store.layout import Store

AT_ONCE = 2**22
"""Numbers read at a time, 16 MB: a slice of every member's file, which is closed again."""


def combined(
    store: Store, combiner: Combiner, members: Sequence[str], split: str, voices: Mapping[str, str]
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
    first = split_rows(store, members[:1], split, voices)
    for name in members[1:]:
        _require_alike(split_rows(store, [name], split, voices), first)
    folders = [split_folder(store, name, split, voices[name]) for name in members]
    return _combined(combiner, folders, first.logits.shape[1:]), first


def _combined(combiner: Combiner, folders: Sequence[Path], shape: tuple[int, ...]) -> NDArray[np.float32]:
    result = np.empty(shape, np.float32)
    step = max(1, AT_ONCE // (len(folders) * int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        span = slice(start, start + step)
        result[span] = combiner.combine(np.concatenate([read_logits(folder, span) for folder in folders]))
    return result


def _require_alike(rows: Predictions, first: Predictions) -> None:
    same = rows.class_names == first.class_names and all(
        np.array_equal(getattr(rows, column), getattr(first, column))
        for column in ("sample_ids", "labels", "groups")
    )
    if not same:
        raise StoreError(
            rows.members[0], expected=f"predictions of the rows that {first.members[0]} has", got="others",
            todo="Run: committee train RECIPE",
        )  # fmt: skip
