"""Soup of all networks with equal weights."""

from __future__ import annotations

from collections.abc import Mapping

from committee.training.soups.base import Choice, Soup


class Uniform(Soup):
    """The mean of all networks (Wortsman et al. 2022).

    See Also
    --------
    Greedy : The mean of those networks that improve it.

    Examples
    --------
    >>> Uniform().weights(choice=None, losses={"first": 0.3, "second": 0.4})
    {'first': 0.5, 'second': 0.5}
    """

    def weights(self, choice: Choice, losses: Mapping[str, float]) -> dict[str, float]:
        """Return equal weights; see the base class."""
        return dict.fromkeys(losses, 1 / len(losses))
