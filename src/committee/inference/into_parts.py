"""Prediction of large sets of images to Parquet files, by this process or by a cluster."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.base import progress
from committee.errors import UsageError, printable, system_reason
from committee.images.remote import is_url
from committee.inference.part_tables import PartTables
from committee.inference.parts import Origin, Parts
from committee.inference.photos import Photo, edition, photo_id
from committee.inference.predict import predict
from committee.predictions.target_types import target_type_of
from committee.store.lock import HeldError, hold

if TYPE_CHECKING:
    from committee.inference.rules import Rule
    from committee.models.predictor import Predictor

ROWS, DENSE_ROWS = 1000, 100
"""Images of a part, and of one with maps."""
AT_ONCE = 128
"""Rows of a table that this process makes at once."""
Executor = Callable[[PartTables, Sequence[Photo]], Iterator[Any]]
"""From images to Arrow tables with their rows, in order."""


@dataclass(frozen=True)
class PartsReport:
    """What `predict_parts` has done.

    Parameters
    ----------
    images, new, failed : int
        Images in all, those that this run has predicted, and those without a prediction.
    parts : int
        Parts of the folder.

    See Also
    --------
    predict_parts : Returns one.

    Examples
    --------
    >>> from committee.inference.into_parts import PartsReport
    >>> PartsReport(images=2500, new=500, failed=1, parts=3).new
    500
    """

    images: int
    new: int
    failed: int
    parts: int


def predict_parts(
    model: Predictor,
    photos: Sequence[Photo],
    folder: str | Path,
    rule: Rule,
    model_digest: str,
    executor: Executor,
    *,
    rows: int | None = None,
    name: str | None = None,
) -> PartsReport:
    """Predict images to the Parquet files of a folder, and continue what an earlier run has begun.

    Parameters
    ----------
    model : Predictor
    photos : sequence of Path or RemoteFile
        The images, as `find_photos` returns them.
    folder : str or Path
        Folder or URL of the files; `Parts` describes it, and `PartTables` their columns.
    rule : Rule
        The rule for the predictions, as `rule_of` returns it.
    model_digest : str
        Digest of the model, as `model_digest` returns it: parts of another one are refused.
    executor : callable
        Who predicts: `InProcess`, or `OnRay`.
    rows : int, optional
        Images of a part: 1,000, or 100 with maps. An interrupted run loses at most so many.
    name : str, optional
        What the column `model` has: by default, the name of the model with the settings of the rule.

    Raises
    ------
    DataError
        The folder has predictions of another model or of other images.
    UsageError
        The folder cannot be written, or `rows` is not above zero.
    HeldError
        Another process predicts to this folder.
    StorageError
        A storage cannot be reached.

    See Also
    --------
    committee.inference.predict.predict : Yields predictions, one for each image.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from committee.inference.photos import find_photos
    >>> from committee.inference.into_parts import InProcess, predict_parts
    >>> from committee.inference.rules import rule_of
    >>> class Brightness:
    ...     name, class_names, channels, provenance = "brightness", ("dark", "light"), 1, {}
    ...
    ...     def __call__(self, images):
    ...         light = images.mean((1, 2, 3)) / 255
    ...         return np.stack([1 - light, light], 1).astype(np.float32)
    >>> model = Brightness()
    >>> rule = rule_of(model, coverage=None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (8, 8)).save(Path(folder, "black.png"))
    ...     photos = find_photos([folder])
    ...     predict_parts(model, photos, Path(folder, "answers"), rule, "v1", InProcess())
    PartsReport(images=1, new=1, failed=0, parts=1)
    """
    tables = PartTables(model, rule, name)
    with _alone(folder):
        parts = parts_of(tables, photos, folder, model_digest, rows)
        missing = parts.missing()
        left = [photos[place] for part in missing for place in parts.range_of(part)]
        with progress.bar(len(left), "predicting") as step:
            found = executor(tables, left) if left else iter(())
            for _, done in parts.write(found, missing):
                step(done)
    return PartsReport(len(photos), len(left), parts.failed, parts.count)


def parts_of(
    tables: PartTables,
    photos: Sequence[Photo],
    folder: str | Path,
    model_digest: str,
    rows: int | None = None,
) -> Parts:
    """Return the parts of a folder for these images; parameters and errors are those of `predict_parts`.

    Nothing is written yet.
    """
    if rows is not None and rows < 1:
        raise UsageError("--rows-per-part", expected="a number of at least 1", got=str(rows))
    origin = Origin(tables.name, model_digest, len(photos), _digest(photos), str(tables.schema))
    return Parts(folder, origin, rows or (DENSE_ROWS if target_type_of(tables.model).dense else ROWS))


@dataclass(frozen=True)
class InProcess:
    """Predicts images in this process.

    Parameters
    ----------
    settings : dict, optional
        Options of `committee.inference.predict.predict`, such as `batch_size`.

    See Also
    --------
    committee.inference.on_ray.OnRay : Predicts on a cluster.

    Examples
    --------
    >>> from committee.inference.into_parts import InProcess
    >>> InProcess({"batch_size": 64}).settings
    {'batch_size': 64}
    """

    settings: dict[str, Any] | None = None

    def __call__(self, tables: PartTables, photos: Sequence[Photo]) -> Iterator[Any]:
        """Yield the tables of images."""
        found = predict(tables.model, photos, **(self.settings or {}))
        for _ in range(0, len(photos), AT_ONCE):
            yield tables.of(islice(found, AT_ONCE))


def _digest(photos: Sequence[Photo]) -> str:
    found = hashlib.sha256()
    for photo in photos:
        found.update(json.dumps([photo_id(photo), *edition(photo)]).encode() + b"\n")
    return found.hexdigest()


@contextlib.contextmanager
def _alone(folder: str | Path) -> Iterator[None]:
    """Keep other processes out of a folder on this machine; two that write behind a URL write the same."""
    if isinstance(folder, str) and is_url(folder):
        yield
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            printable(str(folder)), expected="a folder that can be written", got=system_reason(error)
        ) from error
    try:
        with hold(Path(folder)):
            yield
    except HeldError as error:
        raise HeldError(
            printable(str(folder)),
            expected="no other process that predicts to it",
            got=error.got,
            todo="Wait until it ends, or name another folder.",
        ) from None
