"""Storage of predictions of models without networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from committee.errors import DataError
from committee.images.dataset import Dataset
from committee.pipeline.adopt import require_free
from committee.pipeline.importing.rows import Match
from committee.predictions.table import Predictions
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import digest, is_done


def store_rows(
    store: Store,
    name: str,
    split: str,
    rows: Predictions,
    found: Match | None,
    dataset: Dataset | None,
    dry_run: bool,
) -> str:
    """Store the predictions of a split in `kfold/<name>/<split>`, and return what was done.

    Rows of images of the data set get their ids, labels, folds and groups. Out-of-fold rows are those of the
    training images, if there is one for each. Rows of other images are stored as they are.

    Raises
    ------
    UsageError
        The store has a member of this name.
    DataError
        The order of the classes is not known.
    """
    require_free(store, name)
    made = rows if found is None or dataset is None else _of_dataset(found, dataset, name, split)
    if dry_run:
        return "would be stored"
    folder = store.kfold(name) / split
    content = [made.sample_ids, made.logits, made.labels, made.folds, made.class_names]
    fingerprint = digest(["imported", name, split, *content])
    if is_done(folder, fingerprint):
        return "stored already"
    with (
        store.hold(),
        commit(folder, kind="predictions", fingerprint=fingerprint, what=split, imported=True) as new,
    ):
        made.save(new)
    return "stored"


def _of_dataset(found: Match, dataset: Dataset, name: str, split: str) -> Predictions:
    if not found.classes:
        raise DataError(
            f"{name}: {split}",
            expected="the classes of the columns",
            got="numbers, whose order is not known",
            todo="Name the columns after the classes, or add a column 'label'.",
        )
    train = dataset.rows("train")
    places = np.arange(len(found.rows))
    if split == "oof" and np.isin(train, found.rows).all():
        places = np.flatnonzero(np.isin(found.rows, train))
    rows, given = found.rows[places], found.predictions.rows(places)
    has_folds = len(rows) > 0 and (dataset.folds[rows] >= 0).all()
    named = replace(given, class_names=found.classes, labels=None).with_classes(dataset.class_names)
    return replace(
        named,
        members=(name,),
        sample_ids=dataset.sample_ids[rows],
        labels=dataset.labels[rows],
        folds=dataset.folds[rows] if has_folds else given.folds,
        groups=None if dataset.groups is None else dataset.groups[rows],
    )
