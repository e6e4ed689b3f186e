"""Batches of an epoch, the validation slice that judges epochs, and class weights."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from committee.base.folds import first_in_group

Rows = NDArray[np.int64]


def epoch_batches(labels: Rows, size: int, sampler: str, seed: int) -> list[Rows]:
    """Return the positions of the rows of an epoch, batch by batch.

    Parameters
    ----------
    labels : int64 `[N]`
    size : int
        Largest number of rows in a batch. All batches of an epoch have nearly the same size, since a last
        batch of a single row would break batch normalization.
    sampler : "shuffle" or "balanced"
        Each row once, or N draws with replacement in which all classes are equally frequent.
    seed : int
        Seed of this epoch.

    Returns
    -------
    list of int64 arrays

    Examples
    --------
    >>> import numpy as np
    >>> [len(batch) for batch in epoch_batches(np.zeros(10, np.int64), size=4, sampler="shuffle", seed=0)]
    [4, 3, 3]
    """
    generator = np.random.default_rng(seed)
    if sampler == "balanced":
        chance = 1.0 / np.bincount(labels)[labels]
        order = generator.choice(len(labels), len(labels), p=chance / chance.sum())
    else:
        order = generator.permutation(len(labels))
    return np.array_split(order.astype(np.int64), math.ceil(len(labels) / size))


def inner_slice(labels: Rows, groups: Rows | None, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Split the positions of training rows into those to train on and a validation slice that judges epochs.

    Parameters
    ----------
    labels : int64 `[N]`
        The slice has at least one row of each class with two or more rows, and leaves at least one.
    groups : int64 `[N]` or None
        Rows of one group stay together. If few rows share a group, the first rows of the groups are drawn by
        class, and the others follow; otherwise whole groups are drawn at random.
    fraction : float
        Share of the rows in the slice.
    seed : int

    Returns
    -------
    kept, judged : int64 arrays, sorted
    """
    generator, rows = np.random.default_rng(seed), np.arange(len(labels))
    first = rows if groups is None else first_in_group(groups)
    if first is None:
        assert groups is not None
        judged = _whole_groups(groups, fraction, generator)
    else:
        lead = np.flatnonzero(first == rows)
        drawn = [_share(lead[labels[lead] == each], fraction, generator) for each in np.unique(labels[lead])]
        judged = np.flatnonzero(np.isin(first, np.concatenate(drawn)))
    return np.setdiff1d(rows, judged), np.sort(judged)


def _share(rows: Rows, fraction: float, generator: np.random.Generator) -> Rows:
    count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
    return generator.permutation(rows)[:count]


def _whole_groups(groups: Rows, fraction: float, generator: np.random.Generator) -> Rows:
    names, counts = np.unique(groups, return_counts=True)
    order = generator.permutation(len(names))
    names, sizes = names[order], np.cumsum(counts[order])
    count = min(int(np.searchsorted(sizes, fraction * len(groups))) + 1, len(names) - 1)
    return np.flatnonzero(np.isin(groups, names[:count]))


def class_weights(
    labels: Rows, class_names: tuple[str, ...], wanted: str | dict[str, float]
) -> NDArray[np.float32] | None:
    """Return the weight of each class in the loss, or None where all are equal.

    Parameters
    ----------
    labels : int64 `[N]`
    class_names : tuple of str
    wanted : "none", "balanced" or dict of str to float
        `balanced` weights a class by the inverse of its count. In a dict, classes that are not named have
        the weight 1.

    Returns
    -------
    float32 array `[C]`
        Its mean over the rows is 1.
    """
    if wanted == "none":
        return None
    counts = np.bincount(labels, minlength=len(class_names))
    if isinstance(wanted, dict):
        weights = np.array([wanted.get(name, 1.0) for name in class_names])
    else:
        weights = 1.0 / np.maximum(counts, 1)
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)
