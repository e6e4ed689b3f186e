"""A reader finds the images of a data set, their labels and what else its files say of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from committee.base.registry import Family
from committee.errors import DataError, first_five, nearest

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
    """What a reader found: N images, in the order of its source.

    Parameters
    ----------
    ids : list of str
        Stable and unique: a path relative to the data set, with `/`, or the row's number.
    images : N paths, N contents of files, or uint8 array `[N, H, W]` or `[N, H, W, c]`
    labels : list of str
        The class of each.
    splits : list of str
        "train", "val" or "test".
    class_names : tuple of str
        Every class, in the order of the outputs.
    folds, groups : list of str, optional
        The source's own columns; a fold may be empty outside the training rows.

    Raises
    ------
    DataError
        Ids repeat, there are no images, or there are fewer than two classes.
    """

    ids: list[str]
    images: Images
    labels: list[str]
    splits: list[str]
    class_names: tuple[str, ...]
    folds: list[str] | None = None
    groups: list[str] | None = None

    def __post_init__(self) -> None:
        if not self.ids:
            raise DataError("data set", expected="labeled images", got="none")
        repeated = [name for name, count in Counter(self.ids).items() if count > 1]
        if repeated:
            raise DataError(
                "sample ids",
                expected="each once",
                got=f"again {first_five(repeated)}",
                todo="Remove the repeated rows.",
            )
        odd = [text for text in {*self.ids, *self.class_names} if not _is_text(text)]
        if odd:
            raise DataError(
                "names of images and classes",
                expected="Unicode text",
                got=first_five(sorted(odd)),
                todo="Rename them.",
            )
        if len(set(self.class_names)) < len(self.class_names):
            raise DataError("class names", expected="each once", got=first_five(self.class_names))
        if len(self.class_names) < 2:
            raise DataError("data set", expected="at least 2 classes", got=first_five(self.class_names))

    def without(self, names: Container[str]) -> Samples:
        """Return the samples but for those of these ids."""
        rows = [row for row, name in enumerate(self.ids) if name not in names]
        if len(rows) == len(self.ids):
            return self
        images = self.images

        def pick(column: Sequence[str]) -> list[str]:
            return [column[row] for row in rows]

        return Samples(
            pick(self.ids),
            images[rows] if isinstance(images, np.ndarray) else [images[row] for row in rows],
            pick(self.labels),
            pick(self.splits),
            self.class_names,
            None if self.folds is None else pick(self.folds),
            None if self.groups is None else pick(self.groups),
        )


class Reader(ABC):
    """One layout of labeled images on disk.

    Parameters
    ----------
    path : Path
        The file or folder that the recipe names.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @abstractmethod
    def accepts(cls, path: Path) -> bool:
        """Return whether `path` looks like this layout."""

    @abstractmethod
    def read(self) -> Samples:
        """Find the samples; no image is decoded.

        Raises
        ------
        DataError
            The layout is not as it must be.
        """


READERS: Family[Reader] = Family("committee.images.readers", "reader")


def sorted_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the classes in their one order: by number where all are whole numbers, else by name."""
    names = set(labels)
    if all(len(name) < 19 and name.removeprefix("-").isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def split_name(name: str, who: str) -> str:
    """Return "train", "val" or "test" for the names that people give them; "" is "train".

    Raises
    ------
    DataError
        It is none of them; the sentence names the nearest.
    """
    known = _SPLIT_NAMES.get(name.strip().lower() or "train")
    if known is None:
        raise DataError(who, expected="train, val or test", got=f"'{name}'", todo=nearest(name, _SPLIT_NAMES))
    return known


def _is_text(name: str) -> bool:
    """Tell whether a name can be kept: files have bytes for names, which may be no text."""
    try:
        return "\0" not in name and bool(name.encode())
    except UnicodeEncodeError:
        return False


def is_split(name: str) -> bool:
    """Return whether a folder's name is that of a split."""
    return name.lower() in _SPLIT_NAMES
