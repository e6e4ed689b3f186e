"""Scores of whole images of maps: counts of one image at a time, and metrics of their sums with intervals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from committee.errors import DataError
from committee.metrics.sampling import Interval

LISTED = 20
"""Number of images that a report lists."""
RESAMPLES = 1000

Floats = NDArray[np.float64]


class ImageMetric(NamedTuple):
    """A metric of sums of counts of images.

    Attributes
    ----------
    function : callable
        From counts `[..., K]` to values `[...]`; NaN where it is not defined.
    higher_is_better : bool
        Whether larger values are better.
    least, most : float
        Its smallest and its largest value.
    """

    function: Callable[[Any], Floats]
    higher_is_better: bool
    least: float
    most: float


class ImageScores(ABC):
    """Scores of whole images, which are added one after the other; only their counts are kept.

    Metrics are those of the pixels of all images together, without ignored ones: functions of sums of counts.
    Images, or groups of images, are what intervals resample.

    Parameters
    ----------
    names : sequence of str
        Names of the outputs: classes, or targets.

    Attributes
    ----------
    metrics : mapping of str to ImageMetric
        The metrics; the worst images have the worst values of the first one.

    See Also
    --------
    committee.metrics.class_images.ClassImages : Maps of classes.
    committee.metrics.number_images.NumberImages : Maps of numbers.
    """

    metrics: ClassVar[Mapping[str, ImageMetric]]

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._ids: list[str] = []
        self._groups: list[Any] = []
        self._counts: list[Floats] = []
        self._spread: list[Floats] = []

    def __len__(self) -> int:
        return len(self._ids)

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
        expected = (len(self.names), *labels.shape[:2])
        if outputs.shape != expected or not self._fits(labels):
            raise DataError(
                sample_id,
                expected=f"outputs [{len(self.names)}, H, W] and labels of the same pixels",
                got=f"{list(outputs.shape)} and {list(labels.shape)}",
            )
        if sample_id in self._ids[-1:]:
            raise DataError(sample_id, expected="each image once", got="it twice")
        self._counts.append(self._count(outputs, labels))
        self._spread.append(np.empty(0) if members is None else self._disagreement(members))
        self._ids.append(sample_id)
        self._groups.append((sample_id,) if group is None else group)

    @abstractmethod
    def _fits(self, labels: NDArray[Any]) -> bool:
        """Return whether labels have the axes of a map."""

    @abstractmethod
    def _count(self, outputs: NDArray[Any], labels: NDArray[Any]) -> Floats:
        """Return the counts of an image, `[K]`."""

    @abstractmethod
    def _disagreement(self, members: NDArray[Any]) -> Floats:
        """Return how much members `[M, C, H, W]` disagree about an image, one number or one for each target."""

    @abstractmethod
    def _read(self, values: Floats) -> Any:
        """Return counts `[..., K]` with names."""

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """Return results of each class or target."""

    @cached_property
    def _unit(self) -> NDArray[np.int64]:
        """Group of each image, `[N]`."""
        places: dict[Any, int] = {}
        return np.array([places.setdefault(group, len(places)) for group in self._groups])

    def _table(self) -> Floats:
        """Return the counts of all images, `[N, K]`."""
        if not self._counts:
            raise DataError("images", expected="at least one image", got="none")
        return np.stack(self._counts)

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of all images."""
        found = self._read(self._table().sum(axis=0))
        return {name: float(metric.function(found)) for name, metric in self.metrics.items()}

    def intervals(
        self, *, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0
    ) -> dict[str, Interval]:
        """Return the metrics with their intervals, by the bootstrap over images or groups of images.

        Parameters
        ----------
        resamples : int
            Number of resamples.
        level : float
            Nominal coverage of the intervals.
        seed : int
            Seed of the resamples.

        Notes
        -----
        The ends are quantiles of the resamples at levels that make up for few images: those of Student's t
        (the expanded percentile interval of Hesterberg 2015). One image has no interval: it is the whole
        range of the metric.

        References
        ----------
        T. C. Hesterberg (2015). What teachers should know about the bootstrap. The American Statistician 69.
        """
        table, unit = self._table(), self._unit
        units = int(unit.max()) + 1
        sums = np.zeros((units, table.shape[1]))
        np.add.at(sums, unit, table)
        times = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), resamples)
        drawn = self._read(times.astype(np.float64) @ sums)
        return {
            name: _between(value, self.metrics[name], self.metrics[name].function(drawn), units, level)
            for name, value in self.evaluate().items()
        }

    def worst(self, most: int = LISTED) -> list[dict[str, Any]]:
        """Return the images with the worst values of the first metric, the worst one first."""
        name, metric = next(iter(self.metrics.items()))
        values = metric.function(self._read(self._table()))
        order = np.argsort(values if metric.higher_is_better else -values, kind="stable")
        return [
            {"sample_id": self._ids[row], name: float(values[row])}
            for row in order.tolist()
            if np.isfinite(values[row])
        ][:most]

    def disagreements(self, most: int = LISTED) -> list[dict[str, Any]]:
        """Return the images on which members disagree most, in descending order."""
        scale = self._unit_of_disagreement()
        found = [(float((each / scale).mean()), row) for row, each in enumerate(self._spread) if len(each)]
        ordered = sorted(found, key=lambda pair: (-pair[0], pair[1]))[:most]
        return [{"sample_id": self._ids[row], "disagreement": value} for value, row in ordered]

    def _unit_of_disagreement(self) -> Floats:
        """Return by what the disagreement is divided."""
        return np.ones(1)

    def report(self, *, most: int = LISTED, seed: int = 0) -> dict[str, Any]:
        """Return metrics with intervals, details, and the images that a person should look at, as JSON values.

        A metric that is not defined is None.
        """
        return {
            "n": len(self),
            "metrics": {name: _plain(each) for name, each in self.intervals(seed=seed).items()},
            **self.details(),
            "worst": self.worst(most),
            "disagreements": self.disagreements(most),
        }


def _between(value: float, metric: ImageMetric, drawn: Floats, units: int, level: float) -> Interval:
    """Return a value and the quantiles of its resamples."""
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value):
        return Interval(value, value, value)
    if units < 2 or not len(drawn):
        return Interval(value, metric.least, metric.most)
    reach = float(stdtrit(units - 1, (1 - level) / 2)) * np.sqrt(units / (units - 1))
    low, high = np.quantile(drawn, [ndtr(reach), ndtr(-reach)])
    return Interval(value, min(float(low), value), max(float(high), value))


def _plain(interval: Interval) -> dict[str, float | None]:
    return {name: value if np.isfinite(value) else None for name, value in asdict(interval).items()}
