"""Networks that make the mean no worse, the best first."""

from __future__ import annotations

from collections.abc import Mapping

from committee.training.fit.weight_averager import WeightAverager
from committee.training.soups.base import Soup


class Greedy(Soup):
    """The greedy soup (Wortsman et al. 2022, recipe 1), by log-loss on rows kept apart.

    Each network is tried in the order of their losses, and stays in where the mean gets no worse.
    """

    needs_apart = True

    def weights(self, averager: WeightAverager, losses: Mapping[str, float]) -> dict[str, float]:
        """Return equal weights of those that stay; see the base class."""
        order = sorted(losses, key=lambda name: losses[name])
        kept, best = order[:1], losses[order[0]]
        for name in order[1:]:
            loss = averager.loss(averager.blend(dict.fromkeys([*kept, name], 1 / (len(kept) + 1))))
            if loss <= best:
                kept, best = [*kept, name], loss
        return dict.fromkeys(kept, 1 / len(kept))
