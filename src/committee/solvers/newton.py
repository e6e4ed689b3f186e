"""The temperature with the least log-loss, by a safeguarded Newton iteration in its inverse."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Relative length of the last step for many rows. The error that is left is about its square."""
CUBIC, BEND = 1e-2, 1e-4
"""The same for a step that the third cumulant changes by less than the second number: Halley's step."""
PRECISE = 1e-5
"""The same for few rows, where the steps neglect the curvature of the penalty."""
FEW, KNOWN = 2**13, 1e4
TILE, SAFE = 2**17, 80.0
FLAT = 0.01
"""Smallest standard deviation, over the classes of a row, of logits divided by a temperature."""
UNSURE = 0.5
"""Relative standard error of a temperature above which a note says so."""


class TemperatureFit(NamedTuple):
    """A temperature, and a note where the rows hardly determine it (empty otherwise)."""

    value: float
    note: str


class _Cumulants(NamedTuple):
    """Means over rows of the cumulants of the logits under the probabilities, the first without the label's.

    The first is the slope of the mean log-loss in the inverse temperature, and the second its curvature.
    """

    first: float
    second: float
    third: float


def best_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature that minimizes the log-loss; see `fit_temperature`.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.solvers.newton import best_temperature
    >>> logits = np.log(np.array([[0.75, 0.25]] * 4000, np.float32))
    >>> labels = np.arange(4000) % 4 // 3
    >>> round(best_temperature(3 * logits, labels), 2)
    3.0
    """
    return fit_temperature(logits, labels).value


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> TemperatureFit:
    """Return the temperature that minimizes the log-loss (Guo et al. 2017), with Firth's penalty.

    The log-loss is convex in b = 1/T. It has no minimum if all rows are right (T would be 0) or if the logits
    are worse than chance (T would be infinite). So half the log of its curvature is subtracted from the sum
    of the log-loss. This penalty (Jeffreys' prior for b) is worth about half a wrong row: it makes the
    minimum finite if all rows are right, and is negligible if the rows determine T. It does not depend on the
    scale: multiplied logits have a multiplied T.

    If the logits are worse than chance, T is the value at which the standard deviation of a row's logits is
    0.01, so that all classes are almost equally probable. If all logits of each row are equal, T is 1.

    Parameters
    ----------
    logits : float32 [N, C]
    labels : int64 [N]

    Returns
    -------
    TemperatureFit
        `value`, and a `note` if it follows from the penalty or a bound, or has a large standard error.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017). On calibration of modern neural networks. ICML.
    D. Firth (1993). Bias reduction of maximum likelihood estimates. Biometrika 80 (1).

    Examples
    --------
    >>> import numpy as np
    >>> from committee.solvers.newton import fit_temperature
    >>> fit_temperature(np.array([[2, 0], [0, 2]] * 20, np.float32), np.array([0, 1] * 20)).note
    'every row is predicted right, so the prior determines the temperature'
    """
    if len(labels) <= FEW:
        logits = logits - logits.max(axis=1, keepdims=True)  # the smallest rounding errors in the cumulants
    some = slice(None, None, 16 if len(labels) > FEW else 1)
    scale = _cumulants(logits[some], labels[some], 0.0).second ** 0.5
    if scale == 0:
        return TemperatureFit(1.0, "the logits of each row are equal, so the temperature is 1")
    start = 1 / scale
    if len(labels) > FEW:
        # A start found on a sixteenth of the rows saves most passes over all rows.
        start = _best_inverse(logits[some], labels[some], FLAT / scale, start)[0]
    inverse, curvature = _best_inverse(logits, labels, FLAT / scale, start)
    if inverse == FLAT / scale:
        note = "no temperature is better than equal probabilities, so it makes all classes almost equal"
    elif _all_right(logits, labels):
        note = "every row is predicted right, so the prior determines the temperature"
    else:
        note = _note(inverse, curvature, len(labels))
    return TemperatureFit(1 / inverse, note)


def _best_inverse(
    logits: NDArray[np.float32], labels: NDArray[np.int64], least: float, inverse: float
) -> tuple[float, float]:
    """Return the best inverse temperature, at least `least`, and the curvature of the mean log-loss there."""
    low, high = least, np.inf
    tolerance = TOLERANCE if len(labels) > FEW else PRECISE
    for _ in range(100):
        found = _cumulants(logits, labels, inverse)
        # The curvature vanishes only far above the minimum, where all rows are saturated.
        slope = found.first - found.third / (2 * len(labels) * found.second) if found.second > 0 else 1.0
        if inverse == least and slope >= 0:
            break
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / found.second if found.second > 0 else low
        known = len(labels) * found.second * inverse**2  # the inverse of the squared relative error
        if len(labels) > FEW and known > KNOWN and abs(step - inverse) <= CUBIC * inverse:
            newton, step = step, inverse - slope / (found.second - slope * found.third / (2 * found.second))
            tolerance = CUBIC if abs(step - newton) <= BEND * inverse else TOLERANCE
        moved = step
        if not low < step < high:
            moved = least if low == least and step <= least else (low * high) ** 0.5
        moved = min(moved, 8 * inverse)
        if abs(moved - inverse) <= (tolerance if moved == step else 1e-7) * inverse:
            inverse = moved
            break
        inverse = moved
    return float(inverse), found.second


def _note(inverse: float, curvature: float, rows: int) -> str:
    """Return what limits the precision of a temperature, or nothing."""
    error = 1 / (inverse * (rows * curvature) ** 0.5)
    return f"the relative standard error of the temperature is {error:.2f}" if error > UNSURE else ""


def _all_right(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> bool:
    """Return whether no class has a larger logit than the label; usually known after one block of rows."""
    blocks = (slice(start, start + FEW) for start in range(0, len(labels), FEW))
    return all(
        (np.take_along_axis(logits[rows], labels[rows, None], 1)[:, 0] >= logits[rows].max(axis=1)).all()
        for rows in blocks
    )


def _cumulants(logits: NDArray[np.float32], labels: NDArray[np.int64], inverse: float) -> _Cumulants:
    rows, classes = logits.shape
    block = max(16, TILE // classes)
    ones, every = np.ones(classes, np.float32), np.arange(block)
    # Zeros, because BLAS also reads values after the last row, and warns if they are NaN.
    buffer, sums = np.zeros((block, classes), np.float32), np.zeros(3)
    for start in range(0, rows, block):
        tile = logits[start : start + block]
        if max(-tile.min(), tile.max()) * inverse > SAFE:
            tile = tile - tile.max(axis=1, keepdims=True)
        weights = np.multiply(tile, np.float32(inverse), out=buffer[: len(tile)])
        total = np.exp(weights, out=weights) @ ones
        mean, square, cube = (np.multiply(weights, tile, out=weights) @ ones / total for _ in range(3))
        second = square - mean * mean
        third = cube - mean * (3 * second + mean * mean)
        label = tile[every[: len(tile)], labels[start : start + block]]
        sums += [each.sum(dtype=np.float64) for each in (mean - label, second, third)]
    return _Cumulants(*(sums / rows).tolist())
