"""Folds of foreign models as those of a new store, and how they differ from those of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from committee.images.dataset import Dataset, open_dataset
from committee.images.record import load_record
from committee.images.view import canvas_size
from committee.recipe.model import Recipe
from committee.store.layout import Store

HeldOut = Mapping[str, int]
"""Id of an image -> the fold in which it was held out."""


def use_folds(recipe: Recipe, store: Store, assigned: Sequence[HeldOut]) -> bool:
    """Take the folds of foreign models for those of a new store, and return whether they are taken.

    Combiners are then cross-fitted on the folds in which the predictions were made. This needs one assignment
    that all models share and that contains all training images.

    Parameters
    ----------
    recipe : Recipe
        The images.
    store : Store
    assigned : sequence of mapping of str to int
        The assignment of each model; empty for a model without one.
    """
    given = [each for each in assigned if each]
    if load_record(store) is not None or not given or any(each != given[0] for each in given):
        return False
    numbers = {fold: number for number, fold in enumerate(sorted(set(given[0].values())))}
    if len(numbers) < 2:
        return False
    size = canvas_size(recipe.dataset.img_size, recipe.dataset.fit)
    with store.hold():
        dataset = open_dataset(recipe.dataset, store, canvas_size=size, folds=len(numbers), seed=recipe.seed)
        record = load_record(store)
        train = dataset.splits == "train"
        assert record is not None
        if record.own_folds or not all(name in given[0] for name in dataset.sample_ids[train].tolist()):
            return False
        folds = [
            numbers[given[0][name]] if is_train else -1
            for name, is_train in zip(record.ids, train.tolist(), strict=True)
        ]
        replace(record, folds=folds).save(store)
    return True


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
