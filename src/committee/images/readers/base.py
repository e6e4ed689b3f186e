"""Base class of readers, and the samples that they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from committee.base.registry import Family
from committee.errors import DataError, first_five, nearest
from committee.images.files import Files
from committee.images.masks import Masks
from committee.predictions.target_types import CLASSES, TargetType

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}

Images = Sequence[Path | bytes] | NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Samples:
    """N images with their labels, in the order of the source.

    Parameters
    ----------
    ids : list of str
        Stable, unique ids: the path relative to the data set, with `/`, or the row number.
    images : sequence of N Path or bytes, or uint8 array `[N, H, W]` or `[N, H, W, c]`
        Paths or contents of image files, or pixels.
    labels : list of str, or float64 array `[N, T]`, or int64 array `[N]`
        Class of each image, or its numbers. With `masks`, its stratum: 0 before masks are decoded, and -1 if
        no pixel has a label.
    splits : list of str
        "train", "val" or "test".
    class_names : tuple of str
        All classes, or all targets, in the order of a network's outputs.
    folds, groups : list of str, optional
        Columns of the source; a fold may be empty for rows outside the training split.
    target_type : TargetType
        What labels are.
    masks : Masks, optional
        The labels of pixels. Names of classes may be unknown before masks are decoded.

    Raises
    ------
    DataError
        There are no images or fewer than two classes, or ids are not unique.

    See Also
    --------
    Reader : Read samples from files.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.images.readers.base import Samples
    >>> paths = [Path("cat.png"), Path("dog.png")]
    >>> samples = Samples(["cat.png", "dog.png"], paths, ["cat", "dog"], ["train", "train"], ("cat", "dog"))
    >>> len(samples.ids), samples.class_names
    (2, ('cat', 'dog'))
    """

    ids: list[str]
    images: Images
    labels: list[str] | NDArray[Any]
    splits: list[str]
    class_names: tuple[str, ...]
    folds: list[str] | None = None
    groups: list[str] | None = None
    target_type: TargetType = CLASSES
    masks: Masks | None = None

    def __post_init__(self) -> None:
        if not self.ids:
            raise DataError("data set", expected="labeled images", got="none")
        repeated = [name for name, count in Counter(self.ids).items() if count > 1]
        if repeated:
            raise DataError(
                "sample ids",
                expected="unique ids",
                got=f"more than one {first_five(repeated)}",
                todo="Remove the repeated rows.",
            )
        invalid = [text for text in {*self.ids, *self.class_names} if not _is_text(text)]
        if invalid:
            raise DataError(
                f"names of images and {self.target_type.outputs}",
                expected="valid Unicode",
                got=first_five(sorted(invalid)),
                todo="Rename them.",
            )
        if len(set(self.class_names)) < len(self.class_names):
            raise DataError(
                f"{self.target_type.output} names", expected="unique names", got=first_five(self.class_names)
            )
        least = self.target_type.least
        if len(self.class_names) < least and not (self.masks and not self.class_names):
            raise DataError(
                "data set", expected=f"at least {least} classes", got=first_five(self.class_names)
            )

    @cached_property
    def values(self) -> NDArray[Any]:
        """Labels as numbers: the index of each class, int64 `[N]`, or the targets, float64 `[N, T]`."""
        if isinstance(self.labels, np.ndarray):
            return self.labels
        numbers = {name: number for number, name in enumerate(self.class_names)}
        return np.array([numbers[label] for label in self.labels], dtype=np.int64)

    def texts(self) -> list[str]:
        """Return the label of each image as text."""
        if isinstance(self.labels, np.ndarray):
            rows = self.labels.reshape(len(self.ids), -1).tolist()
            return [", ".join(f"{value:g}" for value in row) for row in rows]
        return self.labels

    @property
    def meaning(self) -> list[Any]:
        """What the labels are, as far as it is known before masks are decoded, for a digest."""
        return [self.labels, self.class_names] if self.masks is None else self.masks.meaning

    def without(self, names: Container[str]) -> Samples:
        """Return the samples except those with these ids."""
        rows = [row for row, name in enumerate(self.ids) if name not in names]
        if len(rows) == len(self.ids):
            return self

        def pick(column: Sequence[str]) -> list[str]:
            return [column[row] for row in rows]

        labels = self.labels
        return Samples(
            pick(self.ids),
            self._images_of(rows),
            labels[rows] if isinstance(labels, np.ndarray) else pick(labels),
            pick(self.splits),
            self.class_names,
            None if self.folds is None else pick(self.folds),
            None if self.groups is None else pick(self.groups),
            self.target_type,
            None if self.masks is None else self.masks.rows(rows),
        )

    def _images_of(self, rows: list[int]) -> Images:
        if isinstance(self.images, np.ndarray):
            return self.images[rows]
        if isinstance(self.images, Files):
            return Files(self.images.root, [self.images.names[row] for row in rows])
        return [self.images[row] for row in rows]


class Reader(ABC):
    """Base class of readers; each reads one format of labeled images.

    A reader is one file in `committee/images/readers`, and its file name is the value of `dataset.reader` in
    a recipe.

    Parameters
    ----------
    path : Path
        The file or folder in `dataset.path`.

    Attributes
    ----------
    built_in : bool
        Whether the reader takes no path, and its name is a value of `dataset.name`.
    detection_order : int
        Readers with a smaller number are asked first whether they accept a path.

    See Also
    --------
    Samples : The result of `read`.
    committee.images.source.read : Select a reader and read the samples of a recipe.

    Examples
    --------
    >>> from committee.images.readers.base import READERS
    >>> samples = READERS.make("digits").read()
    >>> samples.images.shape, len(samples.class_names)
    ((1797, 8, 8), 10)
    """

    built_in: ClassVar[bool] = False
    detection_order: ClassVar[int] = 0

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @abstractmethod
    def accepts(cls, path: Path) -> bool:
        """Return whether `path` has the format of this reader."""

    @abstractmethod
    def read(self) -> Samples:
        """Return the samples without decoding images.

        Raises
        ------
        DataError
            The files do not have the format of this reader.
        """


READERS: Family[Reader] = Family("committee.images.readers", "reader")


def sorted_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the sorted classes: by number if all are whole numbers, else by name."""
    names = set(labels)
    if all(len(name) < 19 and name.removeprefix("-").isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def split_name(name: str, who: str) -> str:
    """Return "train", "val" or "test" for a name of a split such as "validation"; "" is "train".

    Raises
    ------
    DataError
        The name is unknown; the message contains the most similar one.
    """
    known = _SPLIT_NAMES.get(name.strip().lower() or "train")
    if known is None:
        raise DataError(who, expected="train, val or test", got=f"'{name}'", todo=nearest(name, _SPLIT_NAMES))
    return known


def _is_text(name: str) -> bool:
    """Return whether a name is valid Unicode; names of files are bytes and may be invalid."""
    try:
        return "\0" not in name and bool(name.encode())
    except UnicodeEncodeError:
        return False


def is_split(name: str) -> bool:
    """Return whether a folder has the name of a split."""
    return name.lower() in _SPLIT_NAMES
