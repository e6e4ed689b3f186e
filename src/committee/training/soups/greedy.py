"""Soup of those networks that do not make the average worse."""

from __future__ import annotations

from collections.abc import Mapping

from committee.training.fit.weight_averager import WeightAverager
from committee.training.soups.base import Soup


class Greedy(Soup):
    """Greedy soup by log-loss on a validation split (Wortsman et al. 2022, recipe 1).

    The networks are tried in the order of their losses. Each is kept if the loss of the average does not
    increase.

    See Also
    --------
    Uniform : The mean of all networks.
    Learned : A weight for each network.

    Examples
    --------
    The averager here returns a fixed loss for each average:

    >>> class Averager:
    ...     def blend(self, weights):
    ...         return list(weights)
    ...     def loss(self, names):
    ...         return {"second": 0.2, "third": 0.6}[names[-1]]
    >>> Greedy().weights(Averager(), {"first": 0.3, "second": 0.4, "third": 0.5})
    {'first': 0.5, 'second': 0.5}
    """

    needs_validation = True

    def weights(self, averager: WeightAverager, losses: Mapping[str, float]) -> dict[str, float]:
        """Return equal weights of the networks that are kept; see the base class."""
        order = sorted(losses, key=lambda name: losses[name])
        kept, best = order[:1], losses[order[0]]
        for name in order[1:]:
            loss = averager.loss(averager.blend(dict.fromkeys([*kept, name], 1 / (len(kept) + 1))))
            if loss <= best:
                kept, best = [*kept, name], loss
        return dict.fromkeys(kept, 1 / len(kept))
