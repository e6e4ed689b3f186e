"""Soup with learned weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from committee.training.fit.weight_averager import WeightAverager
from committee.training.soups.base import Soup

PASSES = 5
"""Passes over the validation split."""
RATE = 0.1
"""Learning rate of the weights."""


class Learned(Soup):
    """Learned soup (Wortsman et al. 2022, appendix I): weights on the simplex that minimize the log-loss.

    The weights are learned by gradient descent on a validation split; batch norm uses the statistics of each
    batch meanwhile. If the uniform soup or the best single network has a lower loss, it is returned instead.

    See Also
    --------
    Greedy : Equal weights of those networks that improve the average.

    Examples
    --------
    >>> from committee.training.soups.base import SOUPS
    >>> SOUPS.make("learned").needs_validation
    True
    """

    needs_validation = True

    def weights(self, averager: WeightAverager, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the learned weights, or those of a better alternative; see the base class."""
        names = list(losses)
        learned = dict(zip(names, _descend(averager, names), strict=True))
        best = min(names, key=lambda name: losses[name])
        options = [learned, dict.fromkeys(names, 1 / len(names)), {best: 1.0}]
        found = [averager.loss(averager.blend(option)) for option in options[:2]]
        return options[int(np.argmin([*found, losses[best]]))]


def _descend(averager: WeightAverager, names: list[str]) -> list[float]:
    """Return the weight of each network after gradient descent."""
    context = averager.context
    network = averager.members[names[0]].network
    # In evaluation mode, averaged weights would be combined with batch-norm statistics of another network.
    network.train(averager.batch_norm)
    stacked = {
        key: torch.stack([dict(averager.members[name].network.named_parameters())[key] for name in names])
        .detach()
        .to(context.device)
        for key, _ in network.named_parameters()
    }
    buffers = {key: value.clone().to(context.device) for key, value in network.named_buffers()}
    chosen = torch.zeros(len(names), device=context.device, requires_grad=True)
    optimizer = torch.optim.Adam([chosen], lr=RATE)
    generator, view = np.random.default_rng(context.seed), averager.members[names[0]].view
    labels = torch.from_numpy(context.dataset.labels).to(context.device)
    for _ in range(PASSES):
        order = generator.permutation(context.judged)
        for rows in np.array_split(order, max(1, len(order) // context.batch_size)):
            images = view(context.dataset.images(rows, view).to(context.device))
            shares = chosen.softmax(0)
            blended: dict[str, Tensor] = {
                key: torch.einsum("m,m...->...", shares, value) for key, value in stacked.items()
            }
            logits = functional_call(network, {**blended, **buffers}, (images,))
            optimizer.zero_grad()
            functional.cross_entropy(logits, labels[torch.from_numpy(rows)]).backward()
            optimizer.step()
    network.eval()
    return [float(share) for share in chosen.detach().softmax(0)]
