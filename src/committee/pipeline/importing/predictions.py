"""Predictions that other programs wrote for the rows of one split, in one file or one for each fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from committee.errors import DataError
from committee.images.dataset import Dataset
from committee.pipeline.importing.rows import Match, match
from committee.predictions.folds_of_files import read_model
from committee.predictions.reading import LABELS_ARE, Reading
from committee.predictions.table import Predictions
from committee.predictions.target_types import TargetType


def read_rows(
    paths: Mapping[int, Path],
    name: str,
    split: str,
    labels_are: str = "names",
    target_type: TargetType | None = None,
) -> Predictions:
    """Return the predictions of one model for the rows of a split.

    Parameters
    ----------
    paths : mapping of int to Path
        The file of each fold, or one file under -1. Out-of-fold files have different rows, which are put
        together; files of test rows have the same rows, whose probabilities or numbers are averaged.
    name : str
        Name of the model.
    split : str
        `oof`, `val` or `test`.
    labels_are : str
        `names`, or `positions` in the order of the classes.
    target_type : TargetType, optional
        What labels are, as for `Reading`.

    Raises
    ------
    DataError
        A file cannot be read, or the files do not fit together.
    """
    reading = Reading(labels_are=labels_are, target_type=target_type)
    found = read_model(name, paths, reading, average_folds=split == "test")
    (fold,) = paths if len(paths) == 1 else (-1,)
    if fold < 0 or found.folds is not None:
        return found
    return replace(found, folds=np.full(len(found), fold, np.int64))


def matched(
    paths: Mapping[int, Path], name: str, split: str, dataset: Dataset | None
) -> tuple[Predictions, Match | None]:
    """Return predictions, and those of images of a data set.

    The labels of the data set show whether whole numbers among theirs are names or positions of classes.

    Raises
    ------
    DataError
        A file cannot be read, or no row and label is that of an image.
    """
    if dataset is None:
        return read_rows(paths, name, split), None
    problem: DataError | None = None
    kind = dataset.target_type
    for reading in LABELS_ARE if kind.as_stored else LABELS_ARE[:1]:
        try:
            found = read_rows(paths, name, split, reading, None if kind.as_stored else kind)
            return found, match(found, dataset)
        except DataError as error:
            problem = problem or error
    assert problem is not None
    raise problem
