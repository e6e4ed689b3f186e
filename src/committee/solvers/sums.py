"""Sums of probabilities that are given by their logarithms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST = -80.0
"""Logarithm from which a probability is far enough above the smallest float32."""


def add(total: NDArray[np.float32], logs: NDArray[np.float32]) -> None:
    """Replace logarithms by those of the sum of both numbers, as `numpy.logaddexp`; `logs` are overwritten.

    Probabilities that are not tiny are added as such, which takes a third of the time.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.solvers.sums import add
    >>> total, logs = np.log(np.float32([0.5, 0.25])), np.log(np.float32([0.25, 0.5]))
    >>> add(total, logs)
    >>> np.exp(total).tolist()
    [0.75, 0.75]
    """
    if not (logs.min() > LEAST and logs.max() < -LEAST and total.max() < -LEAST):
        np.logaddexp(total, logs, out=total)
        return
    # What is tiny in the total is nothing beside the other probability, or it is that of no member yet.
    np.exp(total, out=total)
    total += np.exp(logs, out=logs)
    np.log(total, out=total)
