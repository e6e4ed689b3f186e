"""A weight for each network, by gradient descent on rows kept apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from committee.training.soups.base import Soup
from committee.training.soups.weight_averager import Pot

PASSES = 5
"""Over the rows kept apart."""
RATE = 0.1


class Learned(Soup):
    """The learned soup (Wortsman et al. 2022, appendix I): weights on the simplex that make the loss least.

    Batch norm takes the statistics of each batch meanwhile. The result is taken only where it is better than
    the uniform soup and the best network.
    """

    needs_apart = True

    def weights(self, pot: Pot, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the weights; see the base class."""
        names = list(losses)
        learned = dict(zip(names, _descend(pot, names), strict=True))
        best = min(names, key=lambda name: losses[name])
        options = [learned, dict.fromkeys(names, 1 / len(names)), {best: 1.0}]
        found = [pot.loss(pot.blend(option)) for option in options[:2]]
        return options[int(np.argmin([*found, losses[best]]))]


def _descend(pot: Pot, names: list[str]) -> list[float]:
    kitchen = pot.kitchen
    network = pot.members[names[0]].network
    # With their own statistics, averaged weights would be judged by those of no network at all.
    network.train(pot.batch_norm)
    stacked = {
        key: torch.stack([dict(pot.members[name].network.named_parameters())[key] for name in names])
        .detach().to(kitchen.device)
        for key, _ in network.named_parameters()
    }  # fmt: skip
    buffers = {key: value.clone().to(kitchen.device) for key, value in network.named_buffers()}
    chosen = torch.zeros(len(names), device=kitchen.device, requires_grad=True)
    optimiser = torch.optim.Adam([chosen], lr=RATE)
    generator, view = np.random.default_rng(kitchen.seed), pot.members[names[0]].view
    labels = torch.from_numpy(kitchen.dataset.labels).to(kitchen.device)
    for _ in range(PASSES):
        order = generator.permutation(kitchen.judged)
        for rows in np.array_split(order, max(1, len(order) // kitchen.batch_size)):
            images = view(kitchen.dataset.images(rows).to(kitchen.device))
            shares = chosen.softmax(0)
            blended: dict[str, Tensor] = {
                key: torch.einsum("m,m...->...", shares, value) for key, value in stacked.items()
            }
            logits = functional_call(network, {**blended, **buffers}, (images,))
            optimiser.zero_grad()
            functional.cross_entropy(logits, labels[torch.from_numpy(rows)]).backward()
            optimiser.step()
    network.eval()
    return [float(share) for share in chosen.detach().softmax(0)]
