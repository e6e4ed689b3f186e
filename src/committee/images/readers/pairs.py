"""Reader of folders of pairs: `root/images/*` and `root/masks/*`, also in `root/{train,val,test}/`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from committee.errors import DataError, first_five
from committee.images.decode import find_images, warn_of_others
from committee.images.masks import SUFFIXES, Masks
from committee.images.readers.base import Reader, Samples, is_split, split_name
from committee.predictions.target_types import CLASS_MAPS

IMAGES = ("images", "image", "imgs")
MASKS = ("masks", "mask", "labels", "annotations")
ENDINGS = ("mask", "masks", "label", "labels", "labelids", "seg", "segmentation", "annotation", "gt")
"""What names of masks may have after the name of their image, and `_` or `-`."""


class Pairs(Reader):
    """Reader of images and masks in two folders, with or without a folder for each split.

    An image and its mask have the same path in `images/` and `masks/` (or `labels/`, or `annotations/`) but
    for the suffix, and for an ending such as `_mask`. The folders are in the root, or in each of `train`,
    `val` and `test`; these may also be folders in both. Paths of the images are the sample ids. A file
    `classes.txt` or `classes.json` beside the masks, or in the root, names the classes.

    Parameters
    ----------
    path : Path
        The folder that contains `images` and `masks`, or a folder for each split.
    targets : sequence of str, optional
        Names of the numbers of a pixel, for masks of numbers.

    See Also
    --------
    committee.images.readers.base.Samples : The result of `read`.
    committee.images.source.read : Select a reader and read the samples of a recipe.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.images.readers.pairs import Pairs
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("images/a.jpg", "masks/a_mask.png"):
    ...         Path(root, name).parent.mkdir()
    ...         Path(root, name).touch()
    ...     Pairs(Path(root)).read().ids
    ['images/a.jpg']
    """

    detection_order = 4

    def __init__(self, path: Path, targets: Sequence[str] | None = None) -> None:
        super().__init__(path)
        self.targets = tuple(targets or ())

    @classmethod
    def accepts(cls, path: Path) -> bool:
        return path.is_dir() and bool(_places(path))

    def read(self) -> Samples:
        places = _places(self.path)
        if not places:
            raise DataError(
                str(self.path),
                expected="folders images and masks, or these in train, val and test",
                got="neither",
            )
        ids, images, masks, splits = [], [], [], []
        left_out: dict[Path, str] = {}
        for split, image_folder, mask_folder in places:
            pairs, others = _pairs(image_folder, mask_folder)
            left_out |= others
            for image, mask in pairs.items():
                ids.append(image.relative_to(self.path).as_posix())
                images.append(image)
                masks.append(mask)
                splits.append(split or _split_inside(image.relative_to(image_folder), str(image_folder)))
        warn_of_others(self.path, left_out)
        folders = (self.path, *dict.fromkeys(place[2] for place in places))
        return Samples(
            ids,
            images,
            np.zeros(len(ids), np.int64),
            splits,
            (),
            target_type=CLASS_MAPS,
            masks=Masks(masks, folders, targets=self.targets),
        )


def _places(path: Path) -> list[tuple[str, Path, Path]]:
    """Return the split, the folder of images and that of masks; the split is empty for those in the root."""
    if (own := _folders(path)) is not None:
        return [("", *own)]
    inside = [
        (folder, _folders(folder))
        for folder in sorted(path.iterdir())
        if folder.is_dir() and is_split(folder.name)
    ]
    return [(split_name(folder.name, str(folder)), *both) for folder, both in inside if both is not None]


def _folders(path: Path) -> tuple[Path, Path] | None:
    """Return the folders of images and of masks in a folder, or None if it lacks one of them."""
    names = {folder.name.lower(): folder for folder in sorted(path.iterdir()) if folder.is_dir()}
    images = next((names[name] for name in IMAGES if name in names), None)
    masks = [names[name] for name in MASKS if name in names]
    if images is None or not masks:
        return None
    if len(masks) > 1:
        raise DataError(
            str(path),
            expected="one folder of masks",
            got=first_five(folder.name for folder in masks),
            todo="Move the others elsewhere.",
        )
    return images, masks[0]


def _split_inside(path: Path, who: str) -> str:
    """Return the split that the first folder of a path names, or train."""
    first = path.parts[0]
    return split_name(first, who) if len(path.parts) > 1 and is_split(first) else "train"


def _pairs(image_folder: Path, mask_folder: Path) -> tuple[dict[Path, Path], dict[Path, str]]:
    """Return the mask of each image, and files that are no images.

    Raises
    ------
    DataError
        An image has no mask or two, or a mask has no image; the message names the files.
    """
    found, others = find_images(image_folder)
    if not found:
        other = next((f", but {kind} ({path.name})" for path, kind in others.items()), "")
        raise DataError(str(image_folder), expected="JPEG, PNG or WebP images", got=f"none{other}")
    images = _named(found, image_folder)
    masks = _named(_masks(mask_folder, images), mask_folder, images)
    for folder, what, files in ((image_folder, "image", images), (mask_folder, "mask", masks)):
        twice = [paths for paths in files.values() if len(paths) > 1]
        if twice:
            raise DataError(
                str(folder),
                expected=f"one {what} of each name",
                got=first_five(path.relative_to(folder).as_posix() for path in twice[0]),
                todo="Rename or remove all but one.",
            )
    _check_none_left(image_folder, images, mask_folder, masks)
    return {paths[0]: masks[name][0] for name, paths in images.items()}, others


def _check_none_left(
    image_folder: Path,
    images: Mapping[str, list[Path]],
    mask_folder: Path,
    masks: Mapping[str, list[Path]],
) -> None:
    ways = (
        ("a mask", mask_folder, masks, image_folder, images),
        ("an image", image_folder, images, mask_folder, masks),
    )
    for what, there, others, folder, files in ways:
        alone = [
            path.relative_to(folder).as_posix()
            for name in files
            for path in files[name]
            if name not in others
        ]
        if alone:
            raise DataError(
                str(there),
                expected=f"{what} for each file in {folder.name}, with the same name",
                got=f"none for {first_five(alone)}",
                todo="Add what is missing, or remove these files.",
            )


def _masks(folder: Path, images: Mapping[str, list[Path]]) -> list[Path]:
    """Return the masks below a folder; other files are left out, unless they have the name of an image."""
    files = [
        path
        for path in sorted(folder.rglob("*"), key=Path.as_posix)
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    masks = [path for path in files if path.suffix.lower() in SUFFIXES]
    others = [
        path for name, paths in _named(files, folder, images).items() if name in images for path in paths
    ]
    wrong = [path.relative_to(folder).as_posix() for path in others if path not in {*masks}]
    if wrong:
        raise DataError(
            str(folder),
            expected=f"masks as {', '.join(SUFFIXES)}",
            got=first_five(wrong),
            todo="Convert or remove them; JPEG files do not keep the numbers of classes.",
        )
    return masks


def _named(paths: Iterable[Path], folder: Path, images: Collection[str] = ()) -> dict[str, list[Path]]:
    """Return files by their path in a folder without suffix, or by that of the image which it extends."""
    found = defaultdict(list)
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        shorter = re.sub(rf"[-_](?:{'|'.join(ENDINGS)})$", "", name, flags=re.IGNORECASE)
        found[shorter if name not in images and shorter in images else name].append(path)
    return dict(found)
