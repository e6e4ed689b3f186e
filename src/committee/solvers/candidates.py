"""The few classes of each row that a mixture of members can predict, for a range of weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.solvers.columns import Columns, spans

Places = NDArray[np.int64]
Values = NDArray[np.float32]
Box = tuple[NDArray[np.floating], NDArray[np.floating]]
"""The least and the largest weight of each member, `[M]` each."""
MOST_VALUES = 2**25
"""Largest number of values of members at candidates that are kept in memory (128 MB)."""
FACTORS = (24, 16, 12, 8, 6, 4, 3, 2, 1)
SAMPLED = 64
ROUNDING = 2e-5
"""Values whose relative difference is smaller may be equal."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Consecutive runs of positions.

    Attributes
    ----------
    start, count : int64 array
        First position and length of each run.
    """

    start: NDArray[np.int64]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, count: NDArray[np.int64]) -> Runs:
        """Create runs from their lengths."""
        return cls(np.cumsum(count) - count, count)

    def first(self, values: Values, floor: Values) -> Places:
        """Return the first position of each run with a value of at least the floor of the run."""
        found = np.flatnonzero(values >= np.repeat(floor, self.count))
        return found if len(found) == len(floor) else found[np.searchsorted(found, self.start)]

    def several(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], Runs]:
        """Return the positions in runs of length two or more, and these runs."""
        several = self.count > 1
        return places[np.repeat(several, self.count)], Runs.of(self.count[several])

    def tiles(self, most: int) -> Iterator[tuple[slice, Runs]]:
        """Yield slices of about `most` positions, and the runs in each slice."""
        ends = np.flatnonzero(np.diff(self.start // most, append=-1)) + 1
        for low, high in zip([0, *ends[:-1]], ends, strict=False):
            runs, begin = Runs.of(self.count[low:high]), self.start[low]
            yield slice(begin, begin + runs.count.sum()), runs


@dataclass(frozen=True, eq=False)
class Candidates:
    """The classes that some weights in a box predict, and the values of the members for them.

    A class is left out if another one has a higher weighted sum for all weights in the box. If the box starts
    at zero, this depends on no weights: every member then rates the other class higher.

    Attributes
    ----------
    row, which : int32 array [K]
        Row and class of each candidate, in the order of rows; those of a row form a run.
    runs : Runs
        The candidates of each row.
    values : float32 array [M, K]
        Values of at least 0: probabilities, or log-probabilities to which each row adds a constant.
    box : tuple of array [M]
        The least and the largest weights.

    See Also
    --------
    committee.solvers.mixture.Mixture : The search that uses them.
    """

    row: NDArray[Any]
    which: NDArray[Any]
    runs: Runs
    values: Values
    box: Box

    def cover(self, weights: Values) -> bool:
        """Return whether rows of weights `[S, M]` are in the box, or in the cone that it spans."""
        low, high = self.box
        if not low.any():
            return not weights[:, high == 0].any()
        return bool((weights >= low).all() and (weights <= high).all())

    @classmethod
    def of(cls, known: Columns, space: str, box: Box) -> Candidates:
        """Find the candidates for a box in one pass over the logits."""
        (members, rows, classes), leads = known.shape, _Leads(space, box)
        found, parts = [], []
        for span, tile in tiles(known, space):
            places = leads.positive(tile)
            parts.append(tile.reshape(members, -1).take(places, axis=1))
            found.append(places + span.start * classes)
        row, which = (each.astype(np.int32) for each in np.divmod(np.concatenate(found), classes))
        values, runs = np.concatenate(parts, axis=1), Runs.of(np.bincount(row, minlength=rows))
        if space == "logit":  # what all candidates of a row have in common changes nothing
            values -= np.minimum.reduceat(values.min(axis=0), runs.start).take(row)
        return cls(row, which, runs, values, box)


def candidates(known: Columns, space: str, now: Values, tried: Values) -> Candidates | None:
    """Return the candidates for weights that are tried, and for as many more such steps as fit in memory.

    Parameters
    ----------
    known : Columns
        The columns of the logits.
    space : {"probability", "logit"}
        What is added.
    now : float32 array [M]
        The current weights.
    tried : float32 array [S, M]
        Other weights, which must not be negative.

    Returns
    -------
    Candidates or None
        None if there are too many.
    """
    up, down = (np.maximum(each, 0).max(axis=0) for each in (tried - now, now - tried))
    cone = np.zeros_like(now), np.ones_like(now)
    boxes = [cone, *((np.maximum(now - k * down, 0), now + k * up) for k in FACTORS if now.any())]
    members, rows, _ = known.shape
    leads, counts, seen = [_Leads(space, box) for box in boxes], np.zeros(len(boxes)), 0
    for _, tile in tiles(known, space, SAMPLED):
        seen += tile.shape[1]
        counts += [len(each.positive(tile)) for each in leads]
    fits = np.flatnonzero(counts * rows / seen * members <= MOST_VALUES)
    return Candidates.of(known, space, boxes[fits[0]]) if len(fits) else None


def tiles(known: Columns, space: str, step: int = 1) -> Iterator[tuple[slice, Values]]:
    """Yield spans of rows, and the values of all members in each, `[M, B, C]`; of every `step`-th span.

    All of them are in the same memory, since new memory takes longer than the values.
    """
    members, rows, classes = known.shape
    some = spans(rows, members * classes)[::step]
    memory = np.empty((members, some[0].stop, classes), np.float32)
    for span in some:
        normalizer = known.normalizer[:, span, None]
        tile = memory[:, : normalizer.shape[1]]
        for member in range(members):
            np.subtract(known.part(member, span), normalizer[member], out=tile[member])
        yield span, np.exp(tile, out=tile) if space == "probability" else tile


class _Leads:
    """The lead of each class over one that is high in the middle of a box, for the weights that favor it.

    It is the largest of a weighted sum over members, where each has its least or its largest weight.
    """

    def __init__(self, space: str, box: Box) -> None:
        low, high = box
        self._space = space
        self._middle, self._low, self._width = (
            each.astype(np.float32) for each in ((low + high) / 2, low, high - low)
        )
        self._memory = np.empty(0, np.float32)

    def positive(self, tile: Values) -> Places:
        """Return the flat positions in `[B, C]` of the classes of a tile `[M, B, C]` with a positive lead."""
        members, _, classes = tile.shape
        base = (self._middle @ tile.reshape(members, -1)).reshape(-1, classes).argmax(axis=1)
        of_base = np.take_along_axis(tile, base[None, :, None], axis=2)
        if len(self._memory) < tile.size:
            self._memory = np.empty(tile.size, np.float32)
        lead = self._memory[: tile.size].reshape(tile.shape)
        margin = of_base * np.float32(ROUNDING) if self._space == "probability" else np.float32(ROUNDING)
        np.subtract(tile, of_base - margin, out=lead)
        flat = lead.reshape(members, -1)
        most = self._low @ flat
        # An array of zeros, since NumPy is slower with one number. Positive parts are exact, also small ones.
        most += self._width @ np.maximum(flat, np.zeros_like(flat[:1]), out=flat)
        most.reshape(-1, classes)[np.arange(len(base)), base] = 1  # float32 may round its own lead to zero
        return np.flatnonzero(most > 0)
