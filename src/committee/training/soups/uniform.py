"""All networks in equal parts."""

from __future__ import annotations

from collections.abc import Mapping

from committee.training.fit.weight_averager import WeightAverager
from committee.training.soups.base import Soup


class Uniform(Soup):
    """The mean of all networks (Wortsman et al. 2022)."""

    def weights(self, averager: WeightAverager, losses: Mapping[str, float]) -> dict[str, float]:
        """Return equal weights; see the base class."""
        return dict.fromkeys(losses, 1 / len(losses))
