"""Predictions and labels from files: what the labels are, and the labels joined to the predictions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from committee.base.arguments import all_of, path_of
from committee.errors import UsageError
from committee.predictions.files.base import read_labels
from committee.predictions.folds_of_files import read_models
from committee.predictions.reading import Reading
from committee.predictions.table import Predictions
from committee.predictions.targets import LABEL, renamed
from committee.predictions.type_of_files import type_of
from committee.tasks.base import TASKS

log = logging.getLogger(__name__)

Files = Sequence[str | Path]


def typed(
    files: Files | Predictions, labels: str | Path | None, task: str | None, reading: Reading
) -> Reading:
    """Return the reading of files with the type of their labels: what the caller or the files say."""
    if task is not None:
        reading = replace(reading, target_type=TASKS.make(task).target_type)
    if isinstance(files, Predictions):
        if reading.target_type not in (None, files.target_type):
            raise UsageError("task", expected=f"that of {files.target_type.name}", got=f"'{task}'")
        return replace(reading, target_type=files.target_type)
    paths = [path_of("files", each) for each in all_of("files", files or (), (str, PathLike), "paths")]
    if not paths:
        raise UsageError("combine", expected="at least one file of predictions", got="none")
    return replace(reading, target_type=type_of(paths[0], None if labels is None else Path(labels), reading))


def joined(files: Files | Predictions, reading: Reading, *, average_folds: bool = False) -> Predictions:
    """Return the predictions of all files, joined by sample id; those that are joined already stay."""
    if isinstance(files, Predictions):
        return files
    paths = [Path(file) for file in files]
    return read_models(paths, reading, average_folds=average_folds)


def labeled(files: Files | Predictions, labels: str | Path | None, reading: Reading) -> Predictions:
    """Return predictions with the labels of a file, or with their own.

    Raises
    ------
    UsageError
        There are no labels.
    DataError
        Predictions and labels do not match.
    """
    predictions = joined(files, reading)
    if labels is not None:
        table = read_labels(Path(labels), reading, predictions.class_names)
        assert table.labels is not None
        if table.columns != (LABEL,):
            predictions = renamed(predictions, table.columns)
        predictions = predictions.with_labels(
            table.ids,
            table.labels,
            folds=table.folds,
            groups=table.groups,
            labels_are=reading.labels_are,
            who=str(labels),
        )
        if len(table.ids) > len(predictions):
            log.info(
                "%s: %d labels without predictions are ignored", labels, len(table.ids) - len(predictions)
            )
    if predictions.labels is None:
        raise UsageError(
            "combine",
            expected="labels of the samples",
            got="none",
            todo="Name a file with the columns id and label: --labels FILE",
        )
    return predictions
