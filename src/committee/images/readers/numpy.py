"""Reader of NumPy arrays: a folder with `images.npy` and `labels.npy`, or one `.npz` file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five, nearest
from committee.images.masks import Masks
from committee.images.numbers import numbers
from committee.images.readers._table import text
from committee.images.readers.base import Reader, Samples, sorted_classes, split_name
from committee.predictions.target_types import CLASS_MAPS, CLASSES, NUMBERS, TargetType
from committee.untrusted.npy import load_npy, load_npz

SPLITS = ("train", "val", "valid", "validation", "test")
REQUIRED = ("images", "labels")
MASKS = "masks"
COLUMNS = ("splits", "folds", "groups")
OPTIONAL = (*COLUMNS, "class_names")


class Numpy(Reader):
    """Reader of arrays of images of equal size; row numbers are the sample ids.

    `images` is uint8 `[N, H, W]`, `[N, H, W, c]` or `[N, c, H, W]`; `labels` are integers or names `[N]`.
    Optional arrays are `splits`, `folds` and `groups` `[N]`, and `class_names` `[C]` for labels 0..C-1.

    A `.npz` file may have the images of each split in arrays of its own: `train_images` and `train_labels`,
    `val_images`, `test_images`, ... (MedMNIST), or `x_train` and `y_train`, `x_test`, ... (Keras). The sample
    ids are then `train/0`, `train/1`, ... Labels may have a second axis of length 1.

    In place of labels, there may be `masks` `[N, H, W]` or `[N, H, W, T]` (`train_masks`, ..., or `y_train`):
    integers are classes of pixels, floating-point numbers are numbers.

    Parameters
    ----------
    path : Path
        The folder or the `.npz` file.
    targets : sequence of str, optional
        Arrays `[N]` with the numbers to predict, in place of the labels; or the names of the columns of
        `labels`, `[N, T]`. With masks, names of the numbers of a pixel.

    See Also
    --------
    committee.images.readers.base.Samples : The result of `read`.
    committee.images.source.read : Select a reader and read the samples of a recipe.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from committee.images.readers.numpy import Numpy
    >>> with tempfile.TemporaryDirectory() as root:
    ...     path = Path(root, "data.npz")
    ...     np.savez(path, images=np.zeros((4, 8, 8), np.uint8), labels=[0, 1, 0, 1])
    ...     Numpy(path).read().class_names
    ('0', '1')
    """

    detection_order = 2

    @classmethod
    def accepts(cls, path: Path) -> bool:
        return (path / "images.npy").is_file() or (path.is_file() and path.suffix.lower() == ".npz")

    def __init__(self, path: Path, targets: Sequence[str] | None = None) -> None:
        super().__init__(path)
        self.targets = targets

    def read(self) -> Samples:
        arrays = _joined(self._load(), str(self.path))
        masks = self._mask_array(arrays)
        for name in REQUIRED if self.targets is None and masks is None else REQUIRED[:1]:
            if name not in arrays:
                raise DataError(str(self.path), expected=f"an array '{name}'", got=first_five(sorted(arrays)))
        images = self._checked_images(arrays["images"])
        ids = _texts(arrays, "ids") or [str(row) for row in range(len(images))]
        labels, classes, target_type = (
            self._labels(arrays, ids) if masks is None else (np.zeros(len(ids), np.int64), (), CLASS_MAPS)
        )
        splits = [split_name(name, f"{self.path}: splits") for name in _texts(arrays, "splits") or ()]
        return Samples(
            ids,
            images,
            labels,
            splits or ["train"] * len(images),
            classes,
            target_type=target_type,
            folds=_texts(arrays, "folds"),
            groups=_texts(arrays, "groups"),
            masks=None if masks is None else self._masks(arrays, masks, images.shape[:3]),
        )

    def _mask_array(self, arrays: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any] | None:
        """Return the masks, if there are no labels of images, or None."""
        if "labels" in arrays:
            return arrays["labels"] if arrays["labels"].ndim > 2 else None
        return None if {*(self.targets or ())} & {*arrays} else arrays.get(MASKS)

    def _masks(
        self, arrays: dict[str, np.ndarray[Any, Any]], masks: np.ndarray[Any, Any], shape: tuple[int, ...]
    ) -> Masks:
        if masks.ndim not in (3, 4) or masks.shape[:3] != shape:
            raise DataError(
                f"{self.path}: {MASKS}",
                expected=f"{list(shape)}, a mask for each image, and perhaps an axis of targets",
                got=str(list(masks.shape)),
            )
        self._check_lengths(arrays, len(masks))
        names = dict(enumerate(_texts(arrays, "class_names") or ()))
        return Masks(masks, classes=names, targets=tuple(self.targets or ()))

    def _labels(
        self, arrays: dict[str, np.ndarray[Any, Any]], ids: Sequence[str]
    ) -> tuple[list[str] | NDArray[Any], tuple[str, ...], TargetType]:
        """Return the labels, the names of classes or targets, and what labels are."""
        if self.targets is None:
            names = self._names(arrays)
            return names, tuple(_texts(arrays, "class_names") or sorted_classes(names)), CLASSES
        columns = {name: self._target(arrays, index, name) for index, name in enumerate(self.targets)}
        self._check_lengths(arrays, len(ids))
        return numbers(columns, ids, str(self.path), "array"), tuple(columns), NUMBERS

    def _target(self, arrays: dict[str, np.ndarray[Any, Any]], index: int, name: str) -> list[str]:
        """Return the texts of a target: an array of its name, or a column of `labels`."""
        count = len(arrays["images"])
        labels = arrays.get("labels", np.empty((0, 0)))
        found = arrays.get(name)
        if found is None and labels.ndim == 2 and labels.shape[1] == len(self.targets or ()):
            found = labels[:, index]
        if found is None and labels.ndim == 1 and len(self.targets or ()) == 1:
            found = labels
        if found is None:
            raise DataError(
                str(self.path),
                expected=f"an array '{name}', or labels [{count}, {len(self.targets or ())}]",
                got=first_five(sorted(arrays)),
                todo=nearest(name, arrays),
            )
        if found.shape != (count,):
            got = str(list(found.shape))
            raise DataError(f"{self.path}: {name}", expected=f"[{count}], one value per image", got=got)
        return [text(each) for each in found.tolist()]

    def _check_lengths(
        self, arrays: dict[str, np.ndarray[Any, Any]], count: int, names: Sequence[str] = COLUMNS
    ) -> None:
        for name in names:
            if name in arrays and arrays[name].shape != (count,):
                got = str(list(arrays[name].shape))
                raise DataError(f"{self.path}: {name}", expected=f"[{count}], one value per image", got=got)

    def _load(self) -> dict[str, np.ndarray[Any, Any]]:
        try:
            if self.path.is_file():
                return load_npz(self.path)
            names = (*REQUIRED, MASKS, *OPTIONAL, *(self.targets or ()))
            files = [self.path / f"{name}.npy" for name in names]
            return {file.stem: load_npy(file, mmap=True) for file in files if file.is_file()}
        except ValueError as error:
            raise DataError(
                str(self.path),
                expected="arrays without Python objects",
                got=str(error),
                todo="Save them with numpy.save or numpy.savez.",
            ) from error

    def _checked_images(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        first = images.ndim == 4 and images.shape[1] in (1, 3, 4)
        last = images.ndim == 4 and images.shape[3] in (1, 3, 4)
        if images.dtype != np.uint8 or not (images.ndim == 3 or first or last):
            raise DataError(
                f"{self.path}: images",
                expected="uint8 [N, H, W], [N, H, W, c] or [N, c, H, W]",
                got=f"{images.dtype} {list(images.shape)}",
                todo="Scale them to 0..255.",
            )
        return images if images.ndim == 3 or last else images.transpose(0, 2, 3, 1)

    def _names(self, arrays: dict[str, np.ndarray[Any, Any]]) -> list[str]:
        """Return the class name of each row."""
        count, labels = len(arrays["images"]), arrays["labels"]
        if labels.ndim == 2 and labels.shape[1] > 1:
            raise DataError(
                f"{self.path}: labels",
                expected="one class per image, [N] or [N, 1]",
                got=f"an array {list(labels.shape)}",
                todo="Choose one label of each image, or one column. To predict all columns as numbers, name "
                "them: dataset.targets=[first, second].",
            )
        self._check_lengths(arrays, count, ("labels", *COLUMNS))
        classes = _texts(arrays, "class_names")
        if labels.dtype.kind == "f" and np.isnan(labels).any():
            raise DataError(f"{self.path}: labels", expected="a label for each image", got="NaN for some")
        if classes is None or not count:
            return _texts(arrays, "labels") or []
        if labels.dtype.kind not in "iu" or not (labels.min() >= 0 and labels.max() < len(classes)):
            expected = f"whole numbers 0..{len(classes) - 1}, for its {len(classes)} class_names"
            got = f"{labels.min()}..{labels.max()}" if labels.dtype.kind in "iuf" else str(labels.dtype)
            raise DataError(f"{self.path}: labels", expected=expected, got=got)
        return [classes[label] for label in labels]


def _joined(arrays: dict[str, np.ndarray[Any, Any]], who: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return arrays of splits, such as `train_images` and `x_test`, as arrays of all images."""
    if "labels" in arrays and arrays["labels"].ndim == 2 and arrays["labels"].shape[1] == 1:
        arrays = {**arrays, "labels": arrays["labels"][:, 0]}
    parts = {
        split: [arrays[name] for name in names if name in arrays]
        for split in SPLITS
        for names in (
            (f"{split}_images", f"{split}_labels" if f"{split}_labels" in arrays else f"{split}_masks"),
            (f"x_{split}", f"y_{split}"),
        )
        if names[0] in arrays
    }
    if "images" in arrays or not parts:
        return arrays
    for split, pair in parts.items():
        if len(pair) < 2 or len(pair[0]) != len(pair[1]):
            got = f"{len(pair[1])} for {len(pair[0])} images" if len(pair) > 1 else "none"
            raise DataError(f"{who}: {split}", expected="an array of labels, one for each image", got=got)
    images, labels = zip(*parts.values(), strict=True)
    if len({(each.dtype, each.shape[1:]) for each in images}) > 1:
        shapes = ", ".join(f"{split} {list(pair[0].shape[1:])}" for split, pair in parts.items())
        raise DataError(f"{who}: images", expected="images of equal size in all splits", got=shapes)
    if len({each[0].size if each.ndim < 3 else each.shape[1:] for each in labels if len(each)}) > 1:
        shapes = ", ".join(f"{split} {list(pair[1].shape)}" for split, pair in parts.items())
        raise DataError(f"{who}: labels", expected="labels of one kind in all splits", got=shapes)
    sizes = {split: len(pair[0]) for split, pair in parts.items()}
    return {
        **{name: arrays[name] for name in ("class_names",) if name in arrays},
        "images": np.concatenate(images),
        "labels": np.concatenate([each.reshape(len(each), -1) for each in labels]).squeeze(1)
        if all(each.size == len(each) for each in labels)
        else np.concatenate(labels),
        "splits": np.repeat(list(sizes), list(sizes.values())),
        "ids": np.array([f"{split}/{row}" for split, size in sizes.items() for row in range(size)]),
    }


def _texts(arrays: dict[str, np.ndarray[Any, Any]], name: str) -> list[str] | None:
    if name not in arrays:
        return None
    return [text(each) for each in np.ravel(arrays[name]).tolist()]
