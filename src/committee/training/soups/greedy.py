"""Soup of those networks that do not make the average worse."""

from __future__ import annotations

from collections.abc import Mapping

from committee.training.soups.base import Choice, Soup


class Greedy(Soup):
    """Greedy soup by log-loss on rows that were not trained on (Wortsman et al. 2022, recipe 1).

    The networks are tried in the order of their losses. Each is kept if the loss of the average does not
    increase. The rows are a validation split, or else the out-of-fold rows of the other folds.

    See Also
    --------
    Uniform : The mean of all networks.
    Learned : A weight for each network.

    Examples
    --------
    The choice here returns a fixed loss for each average:

    >>> class Choice:
    ...     def loss(self, weights):
    ...         return {"second": 0.2, "third": 0.6}[list(weights)[-1]]
    >>> Greedy().weights(Choice(), {"first": 0.3, "second": 0.4, "third": 0.5})
    {'first': 0.5, 'second': 0.5}
    """

    needs_validation = True

    def weights(self, choice: Choice, losses: Mapping[str, float]) -> dict[str, float]:
        """Return equal weights of the networks that are kept; see the base class."""
        order = sorted(losses, key=lambda name: losses[name])
        kept, best = order[:1], losses[order[0]]
        for name in order[1:]:
            loss = choice.loss(dict.fromkeys([*kept, name], 1 / (len(kept) + 1)))
            if loss <= best:
                kept, best = [*kept, name], loss
        return dict.fromkeys(kept, 1 / len(kept))
