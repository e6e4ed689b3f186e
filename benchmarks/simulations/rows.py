"""Rows of the table for simulated figures: a share or a mean, with its standard error in brackets."""

from __future__ import annotations

import math

import numpy as np
from harness import Row
from numpy.typing import ArrayLike


def share(question: str, work: str, hits: ArrayLike, most: float | None = None) -> Row:
    """Return the share of simulations in which something is true, in percent.

    The brackets are the share plus and minus one standard error. `most` is the largest share that is
    promised; the promise counts as kept up to two standard errors above it.
    """
    found = np.asarray(hits, bool)
    value = float(found.mean())
    error = math.sqrt(value * (1 - value) / len(found))
    target = most and round(most + 200 * math.sqrt(most / 100 * (1 - most / 100) / len(found)), 1)
    return Row(
        question, work, "", 100 * value, None, 100 * (value - error), 100 * (value + error), target, unit="%"
    )


def mean(question: str, work: str, values: ArrayLike, unit: str, most: float | None = None) -> Row:
    """Return a mean over simulations; the brackets are the mean plus and minus one standard error."""
    found = np.asarray(values, float)
    value, error = float(found.mean()), float(found.std(ddof=1)) / math.sqrt(len(found))
    return Row(question, work, "", value, None, value - error, value + error, most, unit=unit)
