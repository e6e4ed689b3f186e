"""Coverage of 95% intervals of maps: few images, whose pixels are far from independent.

Each data set has 12 to 40 simulated images of 16 x 16 pixels (`committee.predictions.simulate_maps`): regions
of three classes that are smooth and of different sizes, noise that is correlated among neighboring pixels,
and images that are difficult for all members. The truth is the metric of 4,000 other images.

Intervals of pixels are those of cross-fitted scores and of gains, with the image as the group; those of
images are the bootstrap of whole images; `pixels alone` are the same pixels without groups. The brackets are
the share plus and minus one standard error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from harness import Row, main
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp
from simulations.rows import share

from committee.metrics.class_images import ClassImages
from committee.metrics.sampling import Interval
from committee.predictions.simulation import simulate_maps
from committee.predictions.table import Predictions
from committee.scoring.gains import gain
from committee.tasks.segmentation import Segmentation

SIZE, CLASSES = 16, 3
STRENGTH = {"a": 2.5, "b": 2.2}
OF_PIXELS = ("mean_iou", "mean_dice", "accuracy", "log_loss", "brier", "ece")
OF_GAINS = ("log_loss", "mean_iou", "accuracy")
LogProbs = NDArray[np.float32]


@dataclass
class Drawn:
    """A simulated data set: the mean of two members, and the first member."""

    rows: Predictions
    mean: LogProbs = field(init=False)
    single: LogProbs = field(init=False)

    def __post_init__(self) -> None:
        both = log_softmax(self.rows.logits, axis=2)
        self.single = both[0]
        self.mean = (logsumexp(both, axis=0) - np.log(len(both))).astype(np.float32)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each pixel, `[N]`."""
        return self.rows.require_labels("benchmark")

    def images(self) -> ClassImages:
        """Return the scores of whole images of the mean."""
        found = ClassImages(self.rows.class_names)
        maps = self.mean.reshape(-1, SIZE, SIZE, CLASSES).transpose(0, 3, 1, 2)
        for place, (outputs, labels) in enumerate(
            zip(maps, self.labels.reshape(-1, SIZE, SIZE), strict=True)
        ):
            found.add(str(place), outputs, labels)
        return found


def draw(images: int, spread: float, seed: int) -> Drawn:
    """Return a simulated data set."""
    return Drawn(simulate_maps(STRENGTH, images=images, size=SIZE, classes=CLASSES, spread=spread, seed=seed))


def truth(spread: float, images: int) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return the metrics of pixels, of images, and the gains of very many images."""
    task, many = Segmentation(), draw(images, spread, 1_000_003)
    pixels = task.evaluate(many.mean, many.labels, OF_PIXELS)
    single = task.evaluate(many.single, many.labels, OF_GAINS)
    gains = {name: task.metric(name).sign * (pixels[name] - single[name]) for name in OF_GAINS}
    return pixels, many.images().evaluate(), gains


def found(data: Drawn, seed: int) -> Iterable[tuple[str, Mapping[str, Interval]]]:
    """Yield the intervals of a data set, by what they are of."""
    task, groups = Segmentation(), data.rows.groups
    yield "pixels", task.intervals(data.mean, data.labels, groups=groups, names=OF_PIXELS, seed=seed)
    yield "pixels alone", task.intervals(data.mean, data.labels, names=("mean_iou", "log_loss"), seed=seed)
    yield "images", data.images().intervals(seed=seed)
    gains = {name: gain(data.mean, data.single, data.labels, metric=name, groups=groups) for name in OF_GAINS}
    yield "gains", {name: Interval(each.value, each.low, each.high) for name, each in gains.items()}


def measure(quick: bool) -> list[Row]:
    """Return the coverage by kind of interval, metric, number of images and their differences."""
    count = 4 if quick else 500
    result = []
    for spread in (0.5,) if quick else (0.3, 0.8):
        pixels, images, gains = truth(spread, 100 if quick else 4000)
        known = {"pixels": pixels, "pixels alone": pixels, "images": images, "gains": gains}
        for number in (12,) if quick else (12, 20, 40):
            hits: dict[tuple[str, str], list[bool]] = {}
            for seed in range(count):
                for kind, intervals in found(draw(number, spread, seed), seed):
                    for name, each in intervals.items():
                        inside = each.low <= known[kind][name] <= each.high
                        hits.setdefault((kind, name), []).append(inside)
            for (kind, name), inside in hits.items():
                question = f"coverage of 95% intervals of maps, {kind}, {count:,} data sets"
                work = f"{name}, {number} images, difficulty {spread:g}"
                result.append(share(question, work, inside))
    return sorted(result, key=lambda row: row.question)


if __name__ == "__main__":
    main(measure)
