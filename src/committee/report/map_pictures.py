"""Pictures of predicted images, or of those with the worst predictions, with their true masks."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from committee.errors import DataError, UsageError, missing
from committee.images.mask_classes import NAMES, declared
from committee.images.masks import SUFFIXES, Masks, decode_mask
from committee.inference.map_files import MapFiles, output_file
from committee.inference.photos import Photo, read_photo
from committee.metrics.class_images import ClassImages
from committee.metrics.image_scores import ImageScores
from committee.metrics.number_images import NumberImages
from committee.models.predictor import Images, Predictor
from committee.predictions.target_types import CLASS_MAPS, NUMBER_MAPS
from committee.recipe.dataset import Dataset as Settings
from committee.report.map_picture import map_picture

IGNORED = 255
"""Value of masks without a label, unless it is a class."""


class MapPictures:
    """Writes `pictures/NAME.png` of images: the image, its mask, the prediction, and where members disagree.

    The disagreement is that of the members of an ensemble, whose networks run once more for it. An exported
    file has no members: pictures of classes have the entropy of the probabilities instead.

    Parameters
    ----------
    files : MapFiles
        The folder.
    model : Predictor
    masks : Path, optional
        A folder with masks that have the names of the images, but for the suffix (PNG, TIFF or `.npy`), and
        of classes a `classes.txt` or `classes.json`, if their values are no indices of classes. Titles have
        the score of the image then: the mean IoU, or the RMSE of numbers.
    worst : int, optional
        Number of images with the worst scores, to write these alone; it needs `masks`.
    **tiles
        Options of `committee.models.tiling.tiled`, for the disagreement.

    See Also
    --------
    committee.report.map_picture.map_picture : Makes one picture.
    """

    def __init__(
        self,
        files: MapFiles,
        model: Predictor,
        masks: Path | None = None,
        worst: int | None = None,
        **tiles: Any,
    ) -> None:
        self.files, self.model, self.masks, self.worst, self.tiles = files, model, masks, worst, tiles
        self._kind = _KINDS[files.type.name]
        self._values = None if masks is None else self._kind.values(_folder(masks), model.class_names)
        self._kept: list[tuple[float, str, Path, Image.Image]] = []

    def add(self, photo: Photo, maps: NDArray[np.float32], *, force: bool = False) -> None:
        """Write the picture of an image, or keep it until `close` if it is among the worst so far."""
        mask = None if self.masks is None else self._mask(photo, maps.shape[1:])
        badness, title = self._score(photo.as_posix(), maps, mask)
        path = self.files.path(photo, "pictures", ".png")
        full = self.worst is not None and len(self._kept) >= self.worst
        if self.worst is not None and (np.isnan(badness) or (full and badness <= self._kept[0][0])):
            return
        image = read_photo(photo, self.model.channels)
        picture = map_picture(
            image,
            maps,
            self.model.class_names,
            self.files.type,
            mask=mask if mask is None or mask.ndim == 2 else mask[..., 0],
            disagreement=self._disagreement(image),
            title=title,
        )
        if self.worst is None:
            output_file(path, partial(picture.save, format="PNG"), force=force)
        else:
            (heapq.heapreplace if full else heapq.heappush)(self._kept, (badness, title, path, picture))

    def close(self) -> list[str]:
        """Write the pictures that were kept; return their titles, the worst first."""
        kept = sorted(self._kept, key=lambda each: -each[0])
        for _, _, path, picture in kept:
            output_file(path, partial(picture.save, format="PNG"), force=True)
        return [title for _, title, _, _ in kept]

    def _score(self, name: str, maps: NDArray[np.float32], mask: NDArray[Any] | None) -> tuple[float, str]:
        """Return how bad a prediction is, and the title of its picture."""
        if mask is None:
            return 0.0, name
        scores = self._kind.scores(self.model.class_names)
        scores.add(name, self._kind.outputs(maps), mask)
        metric, value = next(iter(scores.evaluate().items()))
        return -scores.metrics[metric].sign * value, f"{name}: {metric} {value:.3g}"

    def _disagreement(self, image: Images) -> NDArray[np.float32] | None:
        module: Any = getattr(self.model, "module", None)
        if not hasattr(module, "member_logits") or len(module.names) < 2:
            return None
        import torch

        from committee.models.disagreement import disagreement

        return disagreement(module, torch.from_numpy(image), **self.tiles).numpy()

    def _mask(self, photo: Photo, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the true class or numbers of each pixel of an image."""
        assert self.masks is not None
        paths = [self.masks / f"{self.files.name_of(photo)}{suffix}" for suffix in SUFFIXES]
        path = next((each for each in paths if each.is_file()), None)
        if path is None:
            listed = ", ".join(SUFFIXES)
            raise DataError(
                photo.as_posix(),
                expected=f"a mask {paths[0].with_suffix('').as_posix()} ({listed})",
                got="none",
                todo="Add it, or leave the image out.",
            )
        values = decode_mask(path)
        if values.shape[:2] != shape:
            raise DataError(
                path.as_posix(),
                expected=f"a mask of the size of its image, {shape[1]} x {shape[0]}",
                got=f"{values.shape[1]} x {values.shape[0]}",
            )
        if self._values is None:
            return values.astype(np.float32)
        return _indices(values[..., 0], self._values, path)


class _Kind(NamedTuple):
    """How maps of a type are scored.

    Attributes
    ----------
    scores : type of ImageScores
    outputs : callable
        From what is predicted to the outputs that are scored.
    values : callable
        From the folder of masks and the names of the outputs to the class of each value; None of numbers.
    """

    scores: type[ImageScores]
    outputs: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    values: Callable[[Path, tuple[str, ...]], Mapping[int, int] | None]


def _logs(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise missing(UsageError, path, what="folder")
    return path


def _values_of(masks: Path, class_names: tuple[str, ...]) -> Mapping[int, int]:
    """Return the class of each value of masks.

    They are those of `classes.txt` or `classes.json`, the values that are the names of the classes, or the
    indices of the classes.
    """
    numbered = all(name.isdecimal() for name in class_names)
    plain = {int(name): name for name in class_names} if numbered else dict(enumerate(class_names))
    names = declared(Settings(), Masks([], (masks,))) or plain
    unknown = sorted(set(names.values()) - set(class_names))
    if unknown:
        raise DataError(
            f"{masks.as_posix()}: {' or '.join(NAMES)}",
            expected=f"classes of the model: {', '.join(class_names)}",
            got=", ".join(unknown),
        )
    return {value: class_names.index(name) for value, name in names.items()}


def _indices(values: NDArray[Any], classes: Mapping[int, int], path: Path) -> NDArray[np.int64]:
    """Return the index of the class of each pixel, -1 where it has none."""
    found, place = np.unique(values, return_inverse=True)
    wrong = [value for value in found.tolist() if value not in classes and value != IGNORED]
    if wrong:
        raise DataError(
            path.as_posix(),
            expected=f"the values of classes, {', '.join(map(str, classes))}, or {IGNORED}",
            got=", ".join(map(str, wrong[:5])),
            todo=f"Name the class of each value in {path.parent.as_posix()}/{NAMES[-1]}, and write {IGNORED} "
            "in the pixels without a label.",
        )
    return np.array([classes.get(value, -1) for value in found.tolist()])[place.reshape(values.shape)]


_KINDS: Mapping[str, _Kind] = {
    CLASS_MAPS.name: _Kind(ClassImages, _logs, _values_of),
    NUMBER_MAPS.name: _Kind(NumberImages, lambda values: values, lambda masks, names: None),
}
