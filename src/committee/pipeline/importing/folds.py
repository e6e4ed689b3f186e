"""Folds of foreign models as those of a new store, and how they differ from those of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from committee.images.dataset import Dataset, open_dataset
from committee.images.record import load_record
from committee.recipe.model import Recipe
from committee.store.layout import Store

HeldOut = Mapping[str, int]
"""Id of an image -> the fold in which it was held out."""


def folds_of_files(store: Store, dataset: Dataset, assigned: Sequence[HeldOut]) -> Dataset:
    """Return the data set with the folds of foreign models in place of folds that nothing was made with.

    Combiners are then cross-fitted on the folds in which the predictions were made. The data set is returned
    as it is unless the store is new, and all models that have folds share one assignment of all training
    images.

    Parameters
    ----------
    store : Store
    dataset : Dataset
        The images that the store has or will have.
    assigned : sequence of mapping of str to int
        The folds of each model; empty for a model without them.
    """
    given = next(filter(None, assigned), {})
    same = all(each == given for each in assigned if each)
    train = dataset.rows("train")
    ids = dataset.sample_ids[train].tolist()
    is_new = load_record(store) is None
    if not (is_new and same and given and all(name in given for name in ids)):
        return dataset
    numbers = {fold: number for number, fold in enumerate(sorted(set(given.values())))}
    folds = np.full(len(dataset.sample_ids), -1, np.int64)
    folds[train] = [numbers[given[name]] for name in ids]
    return replace(dataset, folds=folds) if len(numbers) > 1 else dataset


def take_folds(recipe: Recipe, store: Store, dataset: Dataset, side: int) -> None:
    """Make the data set of a new store, decoded for networks with an input of `side`, with these folds.

    A fold column of the data is kept.
    """
    number = int(dataset.folds.max()) + 1
    with store.hold():
        open_dataset(recipe.dataset, store, img_sizes=[side], folds=number, seed=recipe.seed)
        record = load_record(store)
        assert record is not None
        places = dict(zip(dataset.sample_ids.tolist(), dataset.folds.tolist(), strict=True))
        # Images that cannot be decoded are no rows of the record.
        if not record.own_folds:
            replace(record, folds=[places[name] for name in record.ids]).save(store)


def split_groups(dataset: Dataset, held_out: HeldOut) -> int:
    """Return the number of groups of the data set whose images are in several foreign folds."""
    if dataset.groups is None:
        return 0
    pairs = {
        (group, held_out[name])
        for name, group in zip(dataset.sample_ids.tolist(), dataset.groups.tolist(), strict=True)
        if name in held_out
    }
    _, counts = np.unique([group for group, _ in pairs], return_counts=True)
    return int((counts > 1).sum())


def are_those_of(dataset: Dataset, held_out: HeldOut) -> bool:
    """Return whether the training images have the same folds in the data set, whatever their numbers."""
    pairs = {
        (fold, held_out.get(name, -1))
        for name, fold in zip(dataset.sample_ids.tolist(), dataset.folds.tolist(), strict=True)
        if fold >= 0
    }
    return len({one for one, _ in pairs}) == len(pairs) == len({other for _, other in pairs})
