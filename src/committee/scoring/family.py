"""Simultaneous limits: gains of several methods, of which the best is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from committee.scoring.gains import LEVEL, Gain

FAMILY = 0.05
"""Probability that any lower limit of a family is above its true gain."""


def simultaneous(gains: Mapping[str, Gain], draws: Mapping[str, NDArray[np.float32]]) -> dict[str, Gain]:
    """Return the gains of all methods in one metric, with limits that hold for all of them together.

    Where no method is better than the best single member, some gain is proven with a probability of at most
    5%, however many methods there are. No interval becomes narrower than that of a single gain.

    Parameters
    ----------
    gains : mapping of str to Gain
        The gain of each method; its limits do not matter.
    draws : mapping of str to float32 array [R]
        Bootstrap draws of each gain, with a mean of zero; see `committee.scoring.draws.Draws`. Draws with
        the same seed are paired, so that similar methods cost less than different ones.

    See Also
    --------
    committee.scoring.score_all : Returns scores with simultaneous limits.

    Notes
    -----
    The limits are `value - q * standard_error`, where q is the 95% quantile of the largest standardized draw
    (the single-step method of Westfall and Young 1993), transformed to Student's t for few rows or groups.

    References
    ----------
    P. H. Westfall, S. S. Young (1993). Resampling-based multiple testing. Wiley.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.scoring import Gain, simultaneous
    >>> random = np.random.default_rng(0)
    >>> gains = {name: Gain("log_loss", 0.022, 0.01, 2.0, 300, against="x") for name in "abcdefg"}
    >>> draws = {name: 0.01 * random.normal(size=1000) for name in gains}
    >>> gains["a"].proven, simultaneous(gains, draws)["a"].proven
    (True, False)
    """
    scaled = [_scaled(draws[name]) for name in gains]
    deviations = [(drawn, drawn.std()) for drawn in scaled]
    standardized = [drawn / deviation for drawn, deviation in deviations if deviation > 0]
    normal = float(np.quantile(np.max(standardized, axis=0), 1 - FAMILY)) if standardized else 0.0
    return {name: replace(each, critical=_critical(normal, each.units)) for name, each in gains.items()}


def _scaled(draws: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return draws times a power of two, so that their squares fit into float32 in any unit of a target."""
    scaled: NDArray[np.float32] = np.ldexp(draws, -np.frexp(np.abs(draws).max())[1])
    return scaled


def _critical(normal: float, units: int) -> float:
    """Return the quantile of Student's t at the level of a normal one, and at least that of a single gain."""
    level = max(float(ndtr(normal)), 1 - LEVEL)
    return float(stdtrit(max(units - 1, 1), level))
