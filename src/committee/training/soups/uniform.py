"""Soup of all networks with equal weights."""

from __future__ import annotations

from collections.abc import Mapping

from committee.training.fit.weight_averager import WeightAverager
from committee.training.soups.base import Soup


class Uniform(Soup):
    """The mean of all networks (Wortsman et al. 2022).

    See Also
    --------
    Greedy : The mean of those networks that improve it.

    Examples
    --------
    >>> Uniform().weights(averager=None, losses={"first": 0.3, "second": 0.4})
    {'first': 0.5, 'second': 0.5}
    """

    def weights(self, averager: WeightAverager, losses: Mapping[str, float]) -> dict[str, float]:
        """Return equal weights; see the base class."""
        return dict.fromkeys(losses, 1 / len(losses))
