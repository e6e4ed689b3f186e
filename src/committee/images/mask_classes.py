"""Which class each value of masks is: by the recipe, by a file beside the masks, or by the values."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five
from committee.images.masks import Masks
from committee.recipe.dataset import MOST_VALUES
from committee.recipe.dataset import Dataset as Settings

log = logging.getLogger(__name__)

NAMES = ("classes.txt", "classes.json")
USUAL = 255
"""The value of 8-bit masks that usually marks pixels without a label."""
MOST = 256
"""Largest number of classes that follow from values: more are numbers of objects."""


class Classes(NamedTuple):
    """The classes of masks.

    Attributes
    ----------
    names : tuple of str
    of_value : int16 `[65536]`
        Index of the class of each value; -1 for values without a label.
    """

    names: tuple[str, ...]
    of_value: NDArray[np.int16]


def declared(settings: Settings, masks: Masks) -> Mapping[int, str]:
    """Return the class of each value by the recipe, by the data or by a file beside the masks, or nothing.

    Raises
    ------
    DataError
        The file does not contain names of classes.
    """
    if settings.class_names is not None:
        return _numbered(settings.class_names)
    if masks.classes:
        return masks.classes
    for file in (place / name for place in masks.places for name in NAMES):
        if file.is_file():
            found = _read(file)
            log.info("%s names %d classes", file.as_posix(), len(set(found.values())))
            return found
    return {}


def _read(file: Path) -> dict[int, str]:
    names: Any = None
    try:
        text = file.read_text(encoding="utf-8-sig")
        lines = [line.strip() for line in text.splitlines()]
        names = json.loads(text) if file.suffix == ".json" else [line for line in lines if line]
        return _numbered(Settings.model_validate({"class_names": names}).class_names or [])
    except (ValueError, RecursionError) as error:
        raise DataError(
            file.as_posix(),
            expected="different names of at least 2 classes: a list, or an object of values and names",
            got=first_five(names) if isinstance(names, list) else "something else",
            todo="Correct the file, or set dataset.class_names.",
        ) from error


def _numbered(names: Sequence[str] | Mapping[int, str]) -> dict[int, str]:
    return dict(names) if isinstance(names, Mapping) else dict(enumerate(names))


def classes_of(
    masks: Masks,
    ids: Sequence[str],
    pixels: Sequence[Mapping[int, int]],
    narrow: bool,
    *,
    whole: bool = True,
) -> Classes:
    """Return the classes of masks that have been decoded.

    Parameters
    ----------
    masks : Masks
    ids : sequence of K str
    pixels : sequence of K mappings
        The number of pixels of each value of each mask, without those that the recipe ignores.
    narrow : bool
        Whether all masks have 8 bits: 255 are then pixels without a label, if it is no class and the recipe
        ignores no other value.
    whole : bool
        Whether these are all masks, of which each class must have some pixels.

    Raises
    ------
    DataError
        A mask has a value that is no class, or no class can be told from another.
    """
    found = {value for each in pixels for value in each}
    usual = narrow and masks.ignore is None and USUAL in found and USUAL not in masks.classes
    if usual and not masks.classes and found == {0, USUAL}:
        log.info("masks have the values 0 and %d, which are the two classes", USUAL)
        return _classes({0: "0", USUAL: str(USUAL)})
    if usual:
        log.info("pixels with the value %d have no label (dataset.ignore)", USUAL)
        found.discard(USUAL)
    classes = masks.classes or _by_values(found, whole)
    outside = sorted(found - set(classes))
    if outside:
        wrong = [name for name, each in zip(ids, pixels, strict=True) if not each.keys().isdisjoint(outside)]
        raise DataError(
            f"masks of {first_five(wrong)}",
            expected=f"the values of classes: {_listed(classes)}",
            got=_listed(outside),
            todo="Correct the masks, add the values to dataset.class_names, or set dataset.ignore to the one "
            "value that marks pixels without a label.",
        )
    return _checked(_classes(classes), found) if whole else _classes(classes)


def _by_values(found: set[int], whole: bool) -> dict[int, str]:
    """Return the values from 0 to the largest one as names, unless most of these are not there."""
    largest = max(found, default=0)
    if largest >= MOST:
        raise DataError(
            "masks",
            expected=f"the number of a class in each pixel, from 0 to {MOST - 1}",
            got=f"{len(found)} values up to {largest}, as numbers of objects have",
            todo="Write classes in place of objects (mask > 0 for one kind of objects), or name the class of "
            "each value with dataset.class_names.",
        )
    if whole and 1 < len(found) <= (largest + 1) / 2:
        more = ", ..." * (len(found) > 3)
        example = ", ".join(f"{value}: NAME" for value in sorted(found)[:3])
        raise DataError(
            "masks",
            expected="the number of a class in each pixel: 0, 1, 2, ...",
            got=_listed(sorted(found)),
            todo=f"Name the class of each value: dataset.class_names={{{example}{more}}}.",
        )
    return {value: str(value) for value in range(largest + 1)}


def _classes(names: Mapping[int, str]) -> Classes:
    different = tuple(dict.fromkeys(names.values()))
    index = np.full(MOST_VALUES + 1, -1, np.int16)
    for value, name in names.items():
        index[value] = different.index(name)
    return Classes(different, index)


def _checked(classes: Classes, found: set[int]) -> Classes:
    """Return the classes; at least two must occur, and those that do not are named in the log."""
    there = {int(classes.of_value[value]) for value in found}
    if len(there) < 2:
        raise DataError(
            "masks",
            expected="pixels of at least 2 classes",
            got=first_five(classes.names[each] for each in sorted(there))
            if there
            else "no pixel with a label",
            todo="There is nothing to predict: correct the masks, or dataset.ignore.",
        )
    absent = [name for index, name in enumerate(classes.names) if index not in there]
    if absent:
        log.warning(
            "%s no pixel: %s. Leave out of dataset.class_names what the masks do not have.",
            "1 class has" if len(absent) == 1 else f"{len(absent)} classes have",
            first_five(absent),
        )
    return classes


def _listed(values: Sequence[int] | Mapping[int, str]) -> str:
    listed = list(values)
    more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
    return ", ".join(map(str, listed[:10])) + more
