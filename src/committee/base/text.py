"""Counts, numbers and durations as text."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST = 9
"""Characters of a number with all of its zeros."""


def count(number: int, what: str) -> str:
    """Return `1 member`, `2 members`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def count_parameters(number: int) -> str:
    """Return `386 parameters`, `11.2 million parameters`.

    Examples
    --------
    >>> from committee.base.text import count_parameters
    >>> count_parameters(386), count_parameters(11_189_512)
    ('386 parameters', '11.2 million parameters')
    """
    return f"{number / 1e6:.3g} million parameters" if number >= 100_000 else count(number, "parameter")


def wrong_rows(right: NDArray[np.bool_]) -> str:
    """Return ` in 2 of 20 rows, the first of which is row 4`, of whether each value `[N, ...]` is right.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.base.text import wrong_rows
    >>> wrong_rows(np.array([True, False, True, False]))
    ' in 2 of 4 rows, the first of which is row 2'
    """
    import numpy as np  # help is printed without it

    wrong = np.flatnonzero(~right.reshape(len(right), -1).all(axis=1))
    return f" in {len(wrong)} of {len(right)} rows, the first of which is row {wrong[0] + 1}"


def two_digits(value: float) -> str:
    """Return a number with two significant digits, all of its zeros written out unless there are many."""
    text = f"{value:.2g}"
    plain = f"{Decimal(text):f}"
    return plain if len(plain) <= LONGEST else text


def significant(value: float, digits: int) -> str:
    """Return a number with some significant digits, all of its zeros written out unless there are many.

    Examples
    --------
    >>> from committee.base.text import significant, two_digits
    >>> significant(53.21456, 4), significant(12345.6, 4), significant(0.00123456, 4), significant(2e-9, 4)
    ('53.21', '12346', '0.001235', '2.000e-09')
    >>> significant(2.5e12, 4), two_digits(0.00125), two_digits(2.5e12)
    ('2.500e+12', '0.0013', '2.5e+12')
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{digits - 1}e}" if abs(places) > 2 * digits else f"{value:.{max(0, places)}f}"


def lack_of_time(left: float, needed: float) -> str:
    """Return in words that a time limit leaves too few seconds.

    Examples
    --------
    >>> from committee.base.text import lack_of_time
    >>> lack_of_time(left=90, needed=700), lack_of_time(left=-1, needed=5)
    ('the time limit leaves 2 minutes, and about 12 minutes are needed', 'the time limit is over')
    """
    if left <= 0:
        return "the time limit is over"
    return f"the time limit leaves {duration(left / 3600)}, and about {duration(needed / 3600)} are needed"


def duration(hours: float) -> str:
    """Return `12 seconds`, `3 minutes`, `2.5 hours`."""
    if hours * 3600 <= 59:
        return count(math.ceil(hours * 3600), "second")
    if hours * 60 < 59.5:
        return count(round(hours * 60), "minute")
    return f"{two_digits(hours)} hour{'' if two_digits(hours) == '1' else 's'}"
