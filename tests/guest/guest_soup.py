"""A soup: the best network has half of the weight."""

from __future__ import annotations

from committee.training.soups import Soup


class GuestSoup(Soup):
    """Half of the weight for the best network, the rest in equal parts."""

    def weights(self, choice, losses):
        """Return the weights; see the base class."""
        best, *others = losses
        if not others:
            return {best: 1.0}
        return {best: 0.5, **dict.fromkeys(others, 0.5 / len(others))}
