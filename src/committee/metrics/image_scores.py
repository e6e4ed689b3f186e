"""Scores of whole images of maps: counts of one image at a time, and metrics of their sums with intervals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from committee.base.limits import require_some
from committee.errors import DataError
from committee.metrics.metric import Metric
from committee.metrics.sampling import Interval, Sample

LISTED = 20
"""Number of images that a report lists."""
RESAMPLES = 1000
STEP = 1e-4
"""Change of the weight of an image with which influences are computed."""

Floats = NDArray[np.float64]
Function = Callable[[Any], Floats]


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Counts of images, which are the rows of their metrics.

    Attributes
    ----------
    values : float64 array [N, K]
        Sums over the pixels of each image.
    read : callable
        From such values `[..., K]` to counts with names, which metrics are functions of.
    """

    values: Floats
    read: Callable[[Floats], Any]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def whole(self) -> Any:
        """The counts of all images together."""
        return self.read(self.values.sum(axis=0))

    @property
    def each(self) -> Any:
        """The counts of each image."""
        return self.read(self.values)

    def part(self, where: NDArray[np.bool_]) -> ImageRows:
        """Return some of the images."""
        return ImageRows(self.values[where], self.read)


def image_metric(
    name: str,
    function: Function,
    read: Callable[[Any, Any], ImageRows],
    limits: tuple[float, float],
    *,
    higher_is_better: bool = False,
    in_points: bool = False,
    has_unit: bool = False,
) -> Metric:
    """Return a metric of whole images: a function of sums of counts, which does not depend on their scale.

    Parameters
    ----------
    name : str
    function : callable
        From counts `[..., K]` to values `[...]`; NaN where it is not defined.
    read : callable
        From outputs `[N, C, H, W]` and labels to `ImageRows`.
    limits : (float, float)
        The smallest and the largest value.
    higher_is_better, in_points, has_unit : bool
        As in `Metric`.
    """

    def influence(rows: ImageRows) -> Floats:
        total, steps = rows.values.sum(axis=0), STEP * rows.values
        more, less = (function(rows.read(total + sign * steps)) for sign in (1, -1))
        found: Floats = (more - less) * len(rows) / (2 * STEP)
        return found - found.mean()

    def interval(rows: ImageRows, sample: Sample, resamples: int, seed: int) -> Interval:
        value = float(function(rows.whole))
        if not np.isfinite(value):
            return Interval(value, value, value)
        if sample.units < 2:
            return Interval(value, *limits)
        drawn = function(rows.read(_resampled(rows.values, sample, resamples, seed)))
        drawn = drawn[np.isfinite(drawn)]
        tail = float(ndtr(-sample.quantile * np.sqrt(sample.units / (sample.units - 1))))
        low, high = np.quantile(drawn, [tail, 1 - tail])
        return Interval(value, min(float(low), value), max(float(high), value))

    return Metric(
        name, function, higher_is_better, influence, interval, read, in_points=in_points, has_unit=has_unit
    )


def _resampled(values: Floats, sample: Sample, resamples: int, seed: int) -> Floats:
    """Return sums of counts `[R, K]` of resamples of images, or of groups of images."""
    units, sums = sample.units, values
    if sample.unit is not None:
        sums = np.zeros((units, values.shape[1]))
        np.add.at(sums, sample.unit, values)
    times = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), resamples)
    found: Floats = times.astype(np.float64) @ sums
    return found


def ratio(part: Floats, whole: Floats) -> Floats:
    """Divide; NaN where the denominator is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def or_none(value: float) -> float | None:
    """Return a number as JSON value: None if it is not defined."""
    return float(value) if np.isfinite(value) else None


class ImageScores(ABC):
    """Scores of whole images, which are added one after the other; only their counts are kept.

    Metrics are those of the pixels of all images together, without ignored ones: functions of sums of counts.
    Intervals are those of the bootstrap over images, or over groups of images: quantiles of the resamples, at
    levels that make up for few images (the expanded percentile interval of Hesterberg 2015). One image has no
    interval: it is the whole range of the metric.

    Parameters
    ----------
    names : sequence of str
        Names of the outputs: classes, or targets.

    Attributes
    ----------
    metrics : mapping of str to Metric
        The metrics; the worst images have the worst values of the first one.

    See Also
    --------
    committee.metrics.class_images.ClassImages : Maps of classes.
    committee.metrics.number_images.NumberImages : Maps of numbers.

    References
    ----------
    T. C. Hesterberg (2015). What teachers should know about the bootstrap. The American Statistician 69.
    """

    metrics: ClassVar[Mapping[str, Metric]]

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._places: dict[str, int] = {}
        self._groups: list[Any] = []
        self._counts: list[Floats] = []
        self._spread: dict[str, Floats] = {}

    def __len__(self) -> int:
        return len(self._counts)

    @classmethod
    def read(cls, outputs: ArrayLike, labels: ArrayLike) -> ImageRows:
        """Return the counts of images of one size: outputs `[N, C, H, W]`, and labels of their pixels."""
        maps, truth = np.asarray(outputs), np.asarray(labels)
        found = cls([str(place) for place in range(maps.shape[1])])
        for row, (image, label) in enumerate(zip(maps, truth, strict=True)):
            found.add(str(row), image, label)
        return found.rows()

    def add(
        self,
        sample_id: str,
        outputs: NDArray[np.floating[Any]],
        labels: NDArray[Any],
        *,
        group: Any = None,
        members: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """Count an image.

        Parameters
        ----------
        sample_id : str
            Name of the image.
        outputs : float array [C, H, W]
            Log-probabilities or numbers of its pixels.
        labels : int array [H, W] or float array [H, W, T]
            Class of each pixel, where numbers below 0 are ignored; or its numbers, where NaN is ignored.
        group : optional
            Group of the image, whose images are not independent; by default, the image alone.
        members : float array [M, C, H, W], optional
            Outputs of the members, for the images on which they disagree most.

        Raises
        ------
        DataError
            The shapes do not match, or the image was added before.
        """
        if outputs.shape != (len(self.names), *labels.shape[:2]) or not self._fits(labels):
            raise DataError(
                sample_id,
                expected=f"outputs [{len(self.names)}, H, W] and labels of the same pixels",
                got=f"{list(outputs.shape)} and {list(labels.shape)}",
            )
        if sample_id in self._places:
            raise DataError(sample_id, expected="each image once", got="it twice")
        self._places[sample_id] = len(self)
        self._groups.append((sample_id,) if group is None else group)
        self._counts.append(self._count(outputs, labels))
        if members is not None:
            self._spread[sample_id] = self._disagreement(members)

    @abstractmethod
    def _fits(self, labels: NDArray[Any]) -> bool:
        """Return whether labels have the axes of a map."""

    @abstractmethod
    def _count(self, outputs: NDArray[Any], labels: NDArray[Any]) -> Floats:
        """Return the counts of an image, `[K]`."""

    @abstractmethod
    def _disagreement(self, members: NDArray[Any]) -> Floats:
        """Return how much members `[M, C, H, W]` disagree about an image: one number, or one per target."""

    @abstractmethod
    def rows(self) -> ImageRows:
        """Return the counts of all images."""

    @abstractmethod
    def details(self, seed: int = 0) -> dict[str, Any]:
        """Return results of each class or target, as JSON values; `seed` is that of resamples."""

    def table(self) -> Floats:
        """Return the counts of all images, `[N, K]`."""
        require_some("images", len(self._counts), "image")
        return np.stack(self._counts)

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of all images."""
        found = self.rows().whole
        return {name: float(metric.function(found)) for name, metric in self.metrics.items()}

    def intervals(
        self, *, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0
    ) -> dict[str, Interval]:
        """Return the metrics with their intervals.

        Parameters
        ----------
        resamples : int
            Number of resamples.
        level : float
            Nominal coverage of the intervals.
        seed : int
            Seed of the resamples.
        """
        rows, sample = self.rows(), self.sample(level)
        return {name: metric.interval(rows, sample, resamples, seed) for name, metric in self.metrics.items()}

    def sample(self, level: float = 0.95) -> Sample:
        """Return how images were drawn: one by one, or in groups."""
        places: dict[Any, int] = {}
        units = [places.setdefault(group, len(places)) for group in self._groups]
        return Sample(len(self), np.array(units), level)

    def worst(self, most: int = LISTED) -> list[dict[str, Any]]:
        """Return the images with the worst values of the first metric, the worst one first."""
        name, metric = next(iter(self.metrics.items()))
        values, names = metric.function(self.rows().each), list(self._places)
        order = np.argsort(metric.sign * values, kind="stable")  # NaN comes last
        known = [row for row in order.tolist() if np.isfinite(values[row])]
        return [{"sample_id": names[row], name: float(values[row])} for row in known[:most]]

    def disagreements(self, most: int = LISTED) -> list[dict[str, Any]]:
        """Return the images on which members disagree most, in descending order."""
        scale = self._unit_of_disagreement()
        found = {name: float((each / scale).mean()) for name, each in self._spread.items()}
        ordered = sorted(found, key=lambda name: -found[name])[:most]
        return [{"sample_id": name, "disagreement": found[name]} for name in ordered]

    def _unit_of_disagreement(self) -> Floats:
        """Return what disagreements are divided by."""
        return np.ones(1)

    def report(self, *, seed: int = 0) -> dict[str, Any]:
        """Return metrics with intervals, details, and the images that are worth a look, as JSON values.

        As in reports of rows, a metric that is not defined is NaN; that of a class without pixels is None.
        """
        return {
            "n": len(self),
            "metrics": {name: asdict(each) for name, each in self.intervals(seed=seed).items()},
            **self.details(seed),
            "worst": self.worst(),
            "disagreements": self.disagreements(),
        }
