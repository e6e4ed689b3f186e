"""Files `<model>_fold<k>` of one model, joined to its out-of-fold predictions."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five
from committee.predictions.blocks import LARGE_FILES
from committee.predictions.files.base import Table, member_names, read, read_table, to_predictions
from committee.predictions.reading import DEFAULT, Reading
from committee.predictions.table import Predictions
from committee.predictions.targets import named_alike

log = logging.getLogger(__name__)

_FOLD = re.compile(
    r"(?P<model>.*[^ ._-])[ ._-]+fold[ ._=-]?(?P<fold>\d{1,4})(?P<rest>(?:[ ._-].*)?)", re.IGNORECASE
)


def fold_of(name: str) -> tuple[str, int] | None:
    """Return the model and the fold in a name such as `resnet_fold0`, or None.

    Examples
    --------
    >>> from committee.predictions.folds_of_files import fold_of
    >>> fold_of("resnet_fold0"), fold_of("oof_vit_fold_12"), fold_of("resnet")
    (('resnet', 0), ('oof_vit', 12), None)
    """
    found = _FOLD.fullmatch(name)
    return None if found is None else (found["model"] + found["rest"], int(found["fold"]))


def models_of(paths: Sequence[Path]) -> dict[str, dict[int, Path]]:
    """Return the files of each model by fold; names that differ only by their fold belong to one model.

    A file that is the only one of its model has fold -1, and its model is named after the file.

    Raises
    ------
    UsageError
        A file occurs more than once.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.predictions.folds_of_files import models_of
    >>> names = models_of([Path("a_fold0"), Path("a_fold1"), Path("b")])
    >>> {name: [*files] for name, files in names.items()}
    {'a': [0, 1], 'b': [-1]}
    """
    named = dict(zip(member_names(paths), paths, strict=True))
    parts = {name: fold_of(name) for name in named}
    folds = Counter(part[0] for part in set(parts.values()) if part is not None)
    clashes = {part for part, count in Counter(parts.values()).items() if count > 1}
    models: dict[str, dict[int, Path]] = {}
    for name, path in named.items():
        part = parts[name]
        if part is None or part in clashes or folds[part[0]] < 2:
            models.setdefault(name, {})[-1] = path
        else:
            models.setdefault(part[0], {})[part[1]] = path
    return models


def read_models(
    paths: Sequence[Path], reading: Reading = DEFAULT, *, average_folds: bool = False
) -> Predictions:
    """Read the predictions of several models, and join them by sample id.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders, as for `committee.predictions.files.read`. Files `<model>_fold<k>` with different
        samples are the out-of-fold rows of one model, whose folds are known then.
    reading : Reading
        What the caller knows about the columns.
    average_folds : bool
        Whether fold files with the same samples are averaged, as those of test rows. Otherwise they are
        refused, because each network has seen most of the samples.

    Raises
    ------
    UsageError, DataError
        A file cannot be read, or files do not match.
    """
    models = models_of(paths).items()
    size = sum(path.stat().st_size for path in paths if path.is_file())
    reading = replace(reading, on_disk=reading.on_disk or size > LARGE_FILES)
    parts = [read_model(name, files, reading, average_folds=average_folds) for name, files in models]
    return Predictions.join(named_alike(parts))


def read_model(
    name: str, files: Mapping[int, Path], reading: Reading = DEFAULT, *, average_folds: bool = False
) -> Predictions:
    """Read one model from its files by fold, as `models_of` returns them; raise what `read_models` raises."""
    if len(files) == 1:
        return read(next(iter(files.values())), name, reading)
    tables = {fold: read_table(path, reading) for fold, path in sorted(files.items())}
    if average_folds and len({frozenset(table.ids.tolist()) for table in tables.values()}) == 1:
        parts = [to_predictions(table, name, str(files[fold]), reading) for fold, table in tables.items()]
        return _mean(parts)
    tables = _with_own_ids(tables, name)
    log.info("%s: %d fold files are joined to %d rows", name, len(files), sum(map(_rows, tables.values())))
    return to_predictions(_stacked(tables, name), name, f"{name} ({len(files)} fold files)", reading)


def _rows(table: Table) -> int:
    return len(table.ids)


def _with_own_ids(tables: Mapping[int, Table], name: str) -> dict[int, Table]:
    """Return tables without shared ids; row numbers that start again become `<fold>/<number>`."""
    ids = [each for table in tables.values() for each in table.ids.tolist()]
    shared = [each for each, count in Counter(ids).items() if count > 1]
    if not shared:
        return dict(tables)
    if all(table.ids_are_index and table.labels is not None for table in tables.values()):
        log.info("%s: row numbers start again in each fold file: ids are <fold>/<row number>", name)
        return {
            fold: replace(table, ids=np.array([f"{fold}/{each}" for each in table.ids.tolist()]))
            for fold, table in tables.items()
        }
    raise DataError(
        f"fold files of {name}",
        expected="different samples in each fold",
        got=f"{first_five(shared)} in more than one",
        todo="Give the out-of-fold rows of each fold; files of test rows belong to --test.",
    )


def _stacked(tables: Mapping[int, Table], name: str) -> Table:
    """Return the rows of all tables, with their fold; classes are matched by name."""
    first = next(iter(tables.values()))
    parts = [_with_classes(table, first, f"fold {fold} of {name}") for fold, table in tables.items()]
    folds = [np.full(len(table.ids), fold) for fold, table in tables.items()]

    def column(field: str) -> NDArray[Any] | None:
        columns = [getattr(table, field) for table in parts]
        return None if any(each is None for each in columns) else np.concatenate(columns)

    given = column("folds")
    return replace(
        first,
        ids=np.concatenate([table.ids for table in parts]),
        values=column("values"),
        labels=column("labels"),
        groups=column("groups"),
        seen=column("seen"),
        folds=np.concatenate(folds) if given is None else given,
    )


def _with_classes(table: Table, first: Table, who: str) -> Table:
    if table.values is None or first.values is None:
        raise DataError(
            who, expected="predictions, with one column for each class", got="ids and labels only"
        )
    own = [None] if table.classes is None else table.classes.tolist()
    wanted = [None] if first.classes is None else first.classes.tolist()
    if sorted(map(str, own)) != sorted(map(str, wanted)) or table.values.shape[1] != first.values.shape[1]:
        raise DataError(
            who, expected=f"the classes of the other folds, {first_five(wanted)}", got=first_five(own)
        )
    if own == wanted:
        return table
    return replace(table, values=table.values[:, [own.index(each) for each in wanted]], classes=first.classes)


def _mean(parts: Sequence[Predictions]) -> Predictions:
    """Return the mean of the probabilities, or of the numbers, of the fold networks."""
    first, *others = parts
    outputs = [first.logits, *(part.aligned(first).logits for part in others)]
    return replace(first, logits=first.target_type.mean(outputs))
