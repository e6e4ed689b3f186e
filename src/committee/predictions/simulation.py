"""Simulated predictions for examples and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASS_MAPS

REACH = 1.5
"""Standard deviation, in pixels, of the filter that makes the noise of simulated maps smooth."""


def simulate(
    strength: Mapping[str, float], *, rows: int = 300, classes: int = 3, seed: int = 0
) -> Predictions:
    """Return labeled predictions of simulated members.

    The logits of a member are independent standard normal numbers, plus its strength at the label.

    Parameters
    ----------
    strength : mapping of str to float
        Strength of each member by name; 0 means predictions by chance.
    rows, classes : int
        Number of samples and of classes.
    seed : int
        Seed of labels and logits.

    Examples
    --------
    >>> from committee.predictions import simulate
    >>> rows = simulate({"good": 3.0, "fair": 2.0})
    >>> rows
    Predictions(2 x 300 x 3, members=('good', 'fair'), labeled=True)
    >>> (rows.logits.argmax(axis=2) == rows.labels).mean(axis=1).round(2).tolist()
    [0.96, 0.86]
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    signal = np.array(list(strength.values()))[:, None, None] * np.eye(classes)[labels]
    return Predictions.from_logits(
        random.normal(size=(len(strength), rows, classes)) + signal,
        members=list(strength),
        class_names=[f"class {index}" for index in range(classes)],
        labels=labels,
    )


def simulate_numbers(
    noise: Mapping[str, float], *, rows: int = 300, targets: int = 1, shared: float = 0.0, seed: int = 0
) -> Predictions:
    """Return labeled predictions of numbers by simulated members.

    The true numbers are independent standard normal numbers. The error of a member is normal, with its own
    standard deviation.

    Parameters
    ----------
    noise : mapping of str to float
        Standard deviation of the errors of each member by name; its R2 is about `1 - noise ** 2`.
    rows, targets : int
        Number of samples and of targets.
    shared : float
        Correlation of the errors of any two members, from 0 to 1.
    seed : int
        Seed of the true numbers and of the errors.

    See Also
    --------
    simulate : Predictions of classes.

    Examples
    --------
    The mean of four members with independent errors has half of their error:

    >>> from committee.predictions import simulate_numbers
    >>> from committee.tasks import Regression
    >>> rows = simulate_numbers(dict.fromkeys("abcd", 0.5), rows=1000)
    >>> rows
    Predictions(4 x 1000 x 1, members=('a', 'b', 'c', 'd'), labeled=True)
    >>> one, all_four = rows.logits[0], rows.logits.mean(axis=0)
    >>> [round(Regression().evaluate(each, rows.labels, ["rmse"])["rmse"], 2) for each in (one, all_four)]
    [0.49, 0.25]
    """
    random = np.random.default_rng(seed)
    truth = random.normal(size=(rows, targets))
    common, own = random.normal(size=truth.shape), random.normal(size=(len(noise), *truth.shape))
    sizes = np.array(list(noise.values()))[:, None, None]
    return Predictions.from_values(
        truth + sizes * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own),
        members=list(noise),
        target_names=[f"target {index}" for index in range(targets)],
        labels=truth,
    )


def simulate_maps(
    strength: Mapping[str, float],
    *,
    images: int = 30,
    size: int = 16,
    classes: int = 2,
    shared: float = 0.3,
    spread: float = 0.5,
    seed: int = 0,
) -> Predictions:
    """Return labeled predictions of the pixels of square images by simulated members.

    Regions of classes are smooth, and of different sizes in each image. The logits of a member are its
    strength at the label, plus normal noise that is correlated among neighboring pixels. Its size differs
    between images, so that some images are difficult for all members.

    Parameters
    ----------
    strength : mapping of str to float
        Strength of each member by name; 0 means predictions by chance.
    images, size, classes : int
        Number of images, their height and width in pixels, and number of classes.
    shared : float
        Correlation of the noise of any two members, from 0 to 1.
    spread : float
        Standard deviation of the logarithm of the size of the noise of an image.
    seed : int
        Seed of labels and logits.

    Returns
    -------
    Predictions
        Of all pixels, image by image and row by row; the image is the group of its pixels.

    See Also
    --------
    simulate : Predictions of classes of whole images.

    Examples
    --------
    >>> from committee.predictions import simulate_maps
    >>> from committee.tasks import Segmentation
    >>> rows = simulate_maps({"good": 3.0, "fair": 2.0}, images=4)
    >>> rows
    Predictions(2 x 1024 x 2, members=('good', 'fair'), labeled=True)
    >>> str(rows.sample_ids[-1]), rows.groups[-1].item()
    ('image 3@15,15', 3)
    """
    random = np.random.default_rng(seed)
    axes = (images, classes, size, size)
    tendency = random.normal(size=(images, classes, 1, 1)) / 2
    labels = (_smooth(random.normal(size=axes), size / 8) + tendency).argmax(axis=1)
    common = _smooth(random.normal(size=axes), REACH)
    own = _smooth(random.normal(size=(len(strength), *axes)), REACH)
    noise = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
    noise *= np.exp(spread * random.normal(size=(images, 1, 1, 1)))
    truth = np.moveaxis(np.eye(classes)[labels], -1, 1)
    signal = np.array(list(strength.values()))[:, None, None, None, None] * truth
    logits = np.moveaxis(signal + noise, 2, -1).reshape(len(strength), -1, classes)
    image, y, x = (axis.ravel() for axis in np.indices((images, size, size)))
    found = Predictions.from_logits(
        logits,
        members=list(strength),
        class_names=[f"class {index}" for index in range(classes)],
        sample_ids=[f"image {i}@{r},{c}" for i, r, c in zip(image, y, x, strict=True)],
        labels=labels.ravel(),
        groups=image,
    )
    return replace(found, target_type=CLASS_MAPS)


def _smooth(noise: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Return white noise of the last two axes as smooth noise with a variance of 1."""
    from scipy.ndimage import gaussian_filter  # takes 0.1 s

    smooth = gaussian_filter(noise, (0.0,) * (noise.ndim - 2) + (reach, reach), mode="wrap")
    point = np.zeros(noise.shape[-2:])
    point[0, 0] = 1.0
    scaled: NDArray[np.float64] = smooth / np.sqrt(
        np.square(gaussian_filter(point, reach, mode="wrap")).sum()
    )
    return scaled
