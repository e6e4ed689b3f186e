"""All networks in equal parts."""

from __future__ import annotations

from collections.abc import Mapping

from committee.training.soups.base import Soup
from committee.training.soups.weight_averager import Pot


class Uniform(Soup):
    """The mean of all networks (Wortsman et al. 2022)."""

    def weights(self, pot: Pot, losses: Mapping[str, float]) -> dict[str, float]:
        """Return equal weights; see the base class."""
        return dict.fromkeys(losses, 1 / len(losses))
