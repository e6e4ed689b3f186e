"""A soup of one network."""

from __future__ import annotations

from collections.abc import Mapping

from committee.training.fit.weight_averager import WeightAverager
from committee.training.soups.base import Soup


class Newest(Soup):
    """The last network alone."""

    def weights(self, averager: WeightAverager, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the weight 1 for the last network."""
        return {list(losses)[-1]: 1.0}
