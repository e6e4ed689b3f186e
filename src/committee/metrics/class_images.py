"""Scores of images whose pixels have classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.metrics.boundaries import matched_boundaries
from committee.metrics.classification import MOST_CLASSES
from committee.metrics.image_scores import (
    Floats,
    Function,
    ImageRows,
    ImageScores,
    image_metric,
    or_none,
    ratio,
)
from committee.metrics.metric import Metric
from committee.metrics.summaries import BINS, Rows
from committee.metrics.uncertainty import mutual_information

AT_ONCE = 2**20
"""Pixels that are read at once."""


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Counts of one image, or sums of them, with their names.

    Attributes
    ----------
    values : float array [..., K]
        Sums over pixels.
    classes : int
        Number of classes C; K is 7 C + 17.
    """

    values: Floats
    classes: int

    @property
    def by_class(self) -> Floats:
        """Correct, actual and predicted pixels, and the four counts of boundaries, `[..., 7, C]`."""
        return self.values[..., : 7 * self.classes].reshape(*self.values.shape[:-1], 7, self.classes)

    @property
    def pixels(self) -> Floats:
        """Number of pixels."""
        return self.by_class[..., 1, :].sum(axis=-1)

    @property
    def losses(self) -> Floats:
        """Sums of log-loss and Brier score, `[..., 2]`."""
        return self.values[..., 7 * self.classes : 7 * self.classes + 2]

    @property
    def gaps(self) -> Floats:
        """Sums of confidence minus correctness in bins of equal width, `[..., 15]`."""
        return self.values[..., -BINS:]

    def iou(self) -> Floats:
        """Return intersection over union of each class, `[..., C]`; NaN for a class without pixels."""
        hit, actual, predicted = self._regions()
        return ratio(hit, actual + predicted - hit)

    def dice(self) -> Floats:
        """Return the Dice coefficient of each class, `[..., C]`; NaN for a class without pixels."""
        hit, actual, predicted = self._regions()
        return ratio(2 * hit, actual + predicted)

    def boundary_f1(self) -> Floats:
        """Return the F1 of the boundary pixels of each class, `[..., C]`; NaN for a class without any."""
        found, predicted, recalled, actual = (self.by_class[..., place, :] for place in range(3, 7))
        precision, recall = (ratio(*pair) for pair in ((found, predicted), (recalled, actual)))
        precision, recall = np.nan_to_num(precision), np.nan_to_num(recall)
        some = np.where(predicted + actual > 0, 1.0, np.nan)
        return some * np.nan_to_num(ratio(2 * precision * recall, precision + recall))

    def _regions(self) -> tuple[Floats, Floats, Floats]:
        return self.by_class[..., 0, :], self.by_class[..., 1, :], self.by_class[..., 2, :]


def _mean(values: Floats) -> Floats:
    """Return the mean over the classes that are defined, `[...]`."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def _accuracy(found: ClassCounts) -> Floats:
    return ratio(found.by_class[..., 0, :].sum(axis=-1), found.pixels)


def _ece(found: ClassCounts) -> Floats:
    return ratio(np.abs(found.gaps).sum(axis=-1), found.pixels)


def _of_classes(name: str, function: Function) -> Metric:
    return image_metric(name, function, _read, (0.0, 1.0), higher_is_better=True, in_points=True)


def _loss(name: str, function: Function, most: float) -> Metric:
    return image_metric(name, function, _read, (0.0, most))


def _read(outputs: ArrayLike, labels: ArrayLike) -> ImageRows:
    return ClassImages.read(outputs, labels)


METRICS: dict[str, Metric] = {
    "mean_iou": _of_classes("mean_iou", lambda found: _mean(found.iou())),
    "mean_dice": _of_classes("mean_dice", lambda found: _mean(found.dice())),
    "accuracy": _of_classes("accuracy", _accuracy),
    "boundary_f1": _of_classes("boundary_f1", lambda found: _mean(found.boundary_f1())),
    "log_loss": _loss("log_loss", lambda found: ratio(found.losses[..., 0], found.pixels), np.inf),
    "brier": _loss("brier", lambda found: ratio(found.losses[..., 1], found.pixels), 2.0),
    "ece": _loss("ece", _ece, 1.0),
}


class ClassImages(ImageScores):
    """Scores of images whose pixels have classes.

    Parameters
    ----------
    names : sequence of str
        Names of the classes.

    Attributes
    ----------
    confusion : int64 array [C, C]
        Number of pixels: a row is a label, a column a predicted class. None with more than 4,096 classes.

    See Also
    --------
    committee.metrics.boundaries.matched_boundaries : What `boundary_f1` counts.

    Notes
    -----
    A class that has neither labels nor predictions in a set of images has no IoU, Dice or boundary F1 there,
    and the means are over the other classes. In a set that has it, a class that is never predicted, or that
    is predicted and never there, has 0. The means are of the pixels of all images together, not means of the
    values of single images: an image without a rare class says nothing about it.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import ClassImages
    >>> images = ClassImages(["ground", "cell"])
    >>> labels = np.array([[0, 0, 1], [0, 1, -1]])
    >>> predicted = np.array([[0, 0, 1], [0, 0, 0]])
    >>> images.add("scan", np.log(np.where(np.arange(2)[:, None, None] == predicted, 0.9, 0.1)), labels)
    >>> found = images.evaluate()
    >>> found["mean_iou"], round(found["mean_dice"], 3), found["accuracy"]
    (0.625, 0.762, 0.8)
    >>> images.confusion.tolist()
    [[3, 0], [1, 1]]
    """

    metrics = METRICS

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        classes = len(self.names)
        self.confusion = np.zeros((classes, classes), np.int64) if classes <= MOST_CLASSES else None

    def _fits(self, labels: NDArray[Any]) -> bool:
        return labels.ndim == 2

    def rows(self) -> ImageRows:
        """Return the counts of all images."""
        return ImageRows(self.table(), lambda values: ClassCounts(values, len(self.names)))

    def _count(self, outputs: NDArray[Any], labels: NDArray[Any]) -> Floats:
        classes = len(self.names)
        regions, rest = np.zeros((3, classes)), np.zeros(2 + BINS)
        predicted = np.zeros(labels.shape, np.int64)
        for strip in _strips(labels.shape):
            known = labels[strip] >= 0
            if not known.any():
                continue
            pixels = np.ascontiguousarray(outputs[:, strip][:, known].T)
            found = Rows.read(pixels, labels[strip][known])
            whole = found.whole
            regions += [whole.hit, whole.actual, whole.predicted]
            rest += [whole.log_loss, whole.brier, *whole.gap]
            predicted[strip][known] = found.predicted
            if self.confusion is not None:
                pairs = whole.pairs()
                self.confusion[pairs[:, 0], pairs[:, 1]] += pairs[:, 2]
        boundaries = matched_boundaries(predicted, labels, classes)
        return np.concatenate([regions.ravel(), boundaries.ravel(), rest])

    def _disagreement(self, members: NDArray[Any]) -> Floats:
        """Return the mean of the mutual information of class and member over the pixels."""
        total, shape = 0.0, members.shape[2:]
        for strip in _strips(shape):
            flat = (each[:, strip].reshape(len(self.names), -1).T for each in members)
            total += float(mutual_information(flat).sum())
        return np.array([total / (shape[0] * shape[1])])

    def details(self, seed: int = 0) -> dict[str, Any]:
        """Return IoU, Dice and boundary F1 of each class, classes without pixels, and the confusion matrix.

        `n` and `n_images` are the numbers of labeled pixels, and of images that have some.
        """
        rows = self.rows()
        found = rows.whole
        columns = found.iou(), found.dice(), found.boundary_f1(), found.by_class[1]
        in_images = (rows.each.by_class[:, 1] > 0).sum(axis=0).tolist()
        return {
            "per_class": [
                {
                    "class": name,
                    "iou": or_none(iou),
                    "dice": or_none(dice),
                    "boundary_f1": or_none(edge),
                    "n": int(count),
                    "n_images": images,
                }
                for name, iou, dice, edge, count, images in zip(self.names, *columns, in_images, strict=True)
            ],
            "absent_classes": [self.names[index] for index in np.flatnonzero(found.by_class[1] == 0)],
            "confusion": [] if self.confusion is None else self.confusion.tolist(),
        }


def _strips(shape: tuple[int, ...]) -> list[slice]:
    """Return spans of rows of an image, of which some million pixels are read at once."""
    step = max(1, AT_ONCE // max(1, shape[1]))
    return [slice(start, start + step) for start in range(0, shape[0], step)]
