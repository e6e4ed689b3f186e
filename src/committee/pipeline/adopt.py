"""Adoption of networks that were trained elsewhere as members of a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, UsageError, first_five
from committee.images.dataset import Dataset, open_dataset
from committee.images.record import load_record
from committee.pipeline._adoption import SPLITS, Adoption, Networks, Rows, load_networks
from committee.pipeline.foreign import UNKNOWN, Adopted, Foreign
from committee.pipeline.shared.class_names import read_classes
from committee.pipeline.shared.records import is_adopted
from committee.recipe.model import Recipe
from committee.store.layout import Store


def adopt(recipe: Recipe, store: Store, foreign: Foreign, *, dry_run: bool = False) -> Adopted:
    """Add a network to a store: its weights, and its predictions for all images of the store.

    Its predictions for training images are stored in place of out-of-fold predictions, with a mark on images
    that it may have been trained on. Combiners are fitted on images that no member was trained on.

    Parameters
    ----------
    recipe : Recipe
        The device and, if the store has no data set yet, the images.
    store : Store
        The store that gets the new member.
    foreign : Foreign
        The network.
    dry_run : bool
        Whether to check everything, but to store nothing except the decoded images.

    Raises
    ------
    UsageError
        A file or a backbone does not exist, or a trained member has the same name.
    DataError
        The file is not a checkpoint, or its classes are not those of the data set.
    MismatchError
        Tensors do not match the backbone; the error lists all of them.
    """
    with store.hold():
        require_free(store, foreign.name)
        dataset = _open(recipe, store, foreign)
        found, networks = _compare(recipe, foreign, dataset)
        if not dry_run:
            seen, held_out = seen_rows(dataset, foreign), held_out_rows(dataset, foreign)
            Adoption(recipe, store, foreign, dataset, networks, seen, held_out).store_all(found)
    return found


def check(recipe: Recipe, store: Store | None, foreign: Foreign, dataset: Dataset) -> Adopted:
    """Return what `adopt` would find, from a data set whose images may not be decoded; nothing is written.

    Without a store, the name of the member is not checked. Errors are those of `adopt`.
    """
    if store is not None:
        require_free(store, foreign.name)
    return _compare(recipe, foreign, dataset)[0]


def _compare(recipe: Recipe, foreign: Foreign, dataset: Dataset) -> tuple[Adopted, Networks]:
    """Return the networks, and what is known before they predict."""
    names = foreign.classes
    classes = read_classes(names) if isinstance(names, Path) else list(map(str, names))
    networks = load_networks(foreign, recipe, dataset, classes)
    seen = seen_rows(dataset, foreign)
    unseen = {"train": ~seen | (held_out_rows(dataset, foreign) >= 0), "val": ~seen, "test": ~seen}
    rows = {split: dataset.rows(split) for split in SPLITS}
    found = Adopted(
        foreign.name,
        networks.view.options(),
        networks.prefix,
        classes != list(dataset.class_names),
        {split: len(places) for split, places in rows.items()},
        {split: int(unseen[split][places].sum()) for split, places in rows.items()},
    )
    return found, networks


def require_free(store: Store, name: str) -> None:
    """Raise UsageError if the store has a trained member of this name."""
    if store.folds(name) and not is_adopted(store, name):
        raise UsageError(
            "--name",
            expected="a name that no trained member has",
            got=f"'{name}'",
            todo="Choose another name.",
        )


def held_out_rows(dataset: Dataset, foreign: Foreign) -> Rows:
    """Return the fold whose network predicts each image, int64 `[N]`; -1 where the member itself does."""
    folds = [foreign.held_out.get(name, -1) for name in dataset.sample_ids.tolist()]
    return np.array([fold if fold in foreign.folds else -1 for fold in folds], np.int64)


def seen_rows(dataset: Dataset, foreign: Foreign) -> NDArray[np.bool_]:
    """Return a mask, bool `[N]`, of the images that the member may have been trained on.

    Raises
    ------
    UsageError
        A file of ids does not exist.
    DataError
        A file contains ids that the data set does not have.
    """
    in_a_fold = np.isin(dataset.sample_ids, sorted(foreign.held_out))
    covered = foreign.held_out and in_a_fold[dataset.rows("train")].all()
    if foreign.seen == "none" or (foreign.seen == UNKNOWN and covered):
        seen = np.zeros(len(dataset.sample_ids), bool)
    elif foreign.seen in ("all", UNKNOWN):
        seen = np.ones(len(dataset.sample_ids), bool)
    else:
        seen = _selected(dataset, foreign.seen, "--seen")
    if len(foreign.folds) + (foreign.weights is not None) > 1:
        seen |= in_a_fold
    elif foreign.folds:
        seen &= held_out_rows(dataset, foreign) < 0
    if foreign.fresh is not None:
        seen &= ~_selected(dataset, foreign.fresh, "--fresh")
    return seen


def _selected(dataset: Dataset, images: str, option: str) -> NDArray[np.bool_]:
    """Return a mask, bool `[N]`, of the images in a split, or of those whose ids a file contains."""
    if images in SPLITS:
        return dataset.splits == images
    try:
        lines = Path(images).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            option,
            expected=f"a split ({', '.join(SPLITS)}) or a file with one id per line",
            got=f"'{images}'",
        ) from error
    ids = {line.strip() for line in lines} - {""}
    unknown = sorted(ids - set(dataset.sample_ids.tolist()))
    if unknown:
        raise DataError(
            images,
            expected="ids of images of the data set",
            got=first_five(unknown),
            todo="The first column of the files of committee predictions --csv FILE lists them.",
        )
    return np.isin(dataset.sample_ids, sorted(ids))


def _open(recipe: Recipe, store: Store, foreign: Foreign) -> Dataset:
    """Open the data set of the store; if it has no folds yet, the folds of the recipe are drawn."""
    size = foreign.size or recipe.dataset.img_size
    folds = folds_to_draw(recipe, store)
    return open_dataset(recipe.dataset, store, img_sizes=[size], folds=folds, seed=recipe.seed)


def folds_to_draw(recipe: Recipe, store: Store) -> int:
    """Return the number of folds of the recipe, or 0 if the store has folds already."""
    record = load_record(store)
    has_folds = record is not None and any(fold >= 0 for fold in record.folds)
    return 0 if has_folds else recipe.training.folds
