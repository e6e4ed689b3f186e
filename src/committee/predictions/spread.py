"""The spread of numeric targets, in units of which fits measure errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-9


def spread_of(labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the standard deviation of each target, float64 `[T]`, for numbers `[N, T]`.

    A target that is constant up to rounding has none: its absolute value is used, or 1 if it is zero.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.predictions.spread import spread_of
    >>> spread_of(np.array([[1.0, 0.1, 0.0], [3.0, 0.1, 0.0], [5.0, 0.1, 0.0]])).round(3).tolist()
    [1.633, 0.1, 1.0]
    """
    spread, size = labels.std(axis=0), np.abs(labels).max(axis=0)
    return np.where(spread > ROUNDING * size, spread, np.where(size > 0, size, 1.0))
