"""Scores of images whose pixels have numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.metrics.image_scores import (
    RESAMPLES,
    Floats,
    Function,
    ImageRows,
    ImageScores,
    image_metric,
    or_none,
    ratio,
)
from committee.metrics.metric import Metric


class NumberCounts(NamedTuple):
    """Sums over pixels, each `[..., T]`: of one image, or of several.

    Attributes
    ----------
    pixels : float array [..., T]
        Number of pixels.
    error, absolute, square : float array [..., T]
        Sums of errors, of their absolute values and of their squares.
    first, second : float array [..., T]
        Sums of the true numbers and of their squares, relative to a fixed number.
    unit : float array [T]
        Standard deviation of the true numbers of all images that are scored.
    """

    pixels: Floats
    error: Floats
    absolute: Floats
    square: Floats
    first: Floats
    second: Floats
    unit: Floats

    def over_targets(self, errors: Floats) -> Floats:
        """Return the mean over targets; of several, in standard deviations of the true numbers of all images.

        So an image with little variation has no larger error than another one with the same errors.
        """
        return errors[..., 0] if errors.shape[-1] == 1 else (errors / self.unit).mean(axis=-1)

    def rmse(self) -> Floats:
        """Return the root mean squared error of each target."""
        return np.sqrt(ratio(self.square, self.pixels))

    def mae(self) -> Floats:
        """Return the mean absolute error of each target."""
        return ratio(self.absolute, self.pixels)

    def bias(self) -> Floats:
        """Return the mean error of each target, predicted minus true numbers."""
        return ratio(self.error, self.pixels)

    def r2(self) -> Floats:
        """Return the coefficient of determination of each target; NaN if its true numbers are equal."""
        spread = self.second - ratio(np.square(self.first), self.pixels)
        return 1 - ratio(self.square, np.where(spread > ROUNDING * self.second, spread, 0))


ROUNDING = 1e-12
"""Share of a sum of squares that can be a rounding error."""


def _error(name: str, function: Function) -> Metric:
    return image_metric(name, function, _read, (0.0, np.inf), has_unit=True)


def _read(outputs: ArrayLike, labels: ArrayLike) -> ImageRows:
    return NumberImages.read(outputs, labels)


class NumberImages(ImageScores):
    """Scores of images whose pixels have numbers; a pixel without a number for each target is ignored.

    Metrics are means of those of the targets, as for single numbers.

    Parameters
    ----------
    names : sequence of str
        Names of the targets.

    See Also
    --------
    ClassImages : Scores of images whose pixels have classes.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import NumberImages
    >>> images = NumberImages(["depth"])
    >>> depth = np.array([[1.0, 2.0], [4.0, np.nan]])
    >>> images.add("scan", np.array([[[1.0, 3.0], [4.0, 9.0]]]), depth)
    >>> {name: round(value, 3) for name, value in images.evaluate().items()}
    {'rmse': 0.577, 'mae': 0.333, 'r2': 0.786}
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "rmse": _error("rmse", lambda found: found.over_targets(found.rmse())),
        "mae": _error("mae", lambda found: found.over_targets(found.mae())),
        "r2": image_metric(
            "r2", lambda found: found.r2().mean(axis=-1), _read, (-np.inf, 1.0), higher_is_better=True
        ),
    }

    def _fits(self, labels: NDArray[Any]) -> bool:
        return labels.ndim == 2 or labels.shape[2:] == (len(self.names),)

    def _counts_of(self, values: Floats, unit: Floats | None = None) -> NumberCounts:
        unit = np.ones(len(self.names)) if unit is None else unit
        return _counts(values.reshape(*values.shape[:-1], 6, len(self.names)), unit)

    def _count(self, outputs: NDArray[Any], labels: NDArray[Any]) -> Floats:
        truth = labels.reshape(*labels.shape[:2], len(self.names)).transpose(2, 0, 1)
        known = np.isfinite(truth).all(axis=0)
        numbers = truth[:, known].astype(np.float64)
        errors = outputs[:, known] - numbers
        pixels = numbers.shape[1]
        mean = numbers.sum(axis=1) / max(pixels, 1)
        own = np.square(numbers - mean[:, None]).sum(axis=1)
        sums = errors.sum(axis=1), np.abs(errors).sum(axis=1), np.square(errors).sum(axis=1)
        return np.concatenate([np.full(len(mean), float(pixels)), *sums, mean, own])

    def rows(self) -> ImageRows:
        """Return the counts of all images, with sums of true numbers relative to their mean.

        Squares of numbers far from zero would be rounded, so those of an image are relative to its own mean.
        """
        found = self._counts_of(self.table())
        pixels, means = found.pixels, found.first
        away = means - (means * pixels).sum(axis=0) / np.maximum(pixels.sum(axis=0), 1)
        rest = pixels * away, found.second + pixels * np.square(away)
        spread = np.sqrt(ratio(rest[1].sum(axis=0), pixels.sum(axis=0)))
        read = partial(self._counts_of, unit=np.where(spread > 0, spread, 1.0))
        return ImageRows(np.stack([*found[:4], *rest], axis=1).reshape(len(self), -1), read)

    def _disagreement(self, members: NDArray[Any]) -> Floats:
        """Return the mean standard deviation of the members over the pixels, for each target."""
        found: Floats = members.std(axis=0, dtype=np.float64).mean(axis=(1, 2))
        return found

    def _unit_of_disagreement(self) -> Floats:
        """Return the standard deviation of the true numbers of all images."""
        unit: Floats = self.rows().whole.unit
        return unit

    def details(self, seed: int = 0) -> dict[str, Any]:
        """Return metrics with intervals, bias and the number of pixels of each target, in its own unit."""
        rows, sample = self.rows(), self.sample()
        whole = rows.whole
        return {
            "per_target": [
                {
                    "target": name,
                    **{
                        key: asdict(metric.interval(_of_target(rows, place), sample, RESAMPLES, seed))
                        for key, metric in self.metrics.items()
                    },
                    "bias": or_none(bias),
                    "n": int(count),
                }
                for place, (name, bias, count) in enumerate(
                    zip(self.names, whole.bias(), whole.pixels, strict=True)
                )
            ]
        }


def _of_target(rows: ImageRows, place: int) -> ImageRows:
    """Return the counts of one target."""
    values = np.stack([each[:, place] for each in rows.each[:-1]], axis=1)
    return ImageRows(values, lambda of_one: _counts(of_one[..., None], np.ones(1)))


def _counts(sums: Floats, unit: Floats) -> NumberCounts:
    """Return sums `[..., 6, T]` by name."""
    pixels, error, absolute, square, first, second = np.moveaxis(sums, -2, 0)
    return NumberCounts(pixels, error, absolute, square, first, second, unit)
