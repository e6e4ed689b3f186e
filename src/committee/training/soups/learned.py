"""Soup with learned weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from committee.images.dataset import Dataset
from committee.images.view import View
from committee.recipe.training import Fit
from committee.training.fit.batches import Rows
from committee.training.fit.map_loader import augmented_crops
from committee.training.fit.start import tensor_of
from committee.training.fit.weight_averager import WeightAverager
from committee.training.losses.base import loss_for
from committee.training.soups.base import Choice, Soup

PASSES = 5
"""Passes over the rows."""
RATE = 0.1
"""Learning rate of the weights."""


class Learned(Soup):
    """Learned soup (Wortsman et al. 2022, appendix I): weights on the simplex that minimize the log-loss.

    The weights are learned by gradient descent on a validation split, or else on the out-of-fold rows of the
    other folds; batch norm uses the statistics of each batch meanwhile. If the uniform soup or the best
    single network has a lower loss, it is returned instead.

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

    def weights(self, choice: Choice, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the learned weights, or those of a better alternative; see the base class."""
        names = list(losses)
        learned = dict(zip(names, _descend(choice, names), strict=True))
        best = min(names, key=lambda name: losses[name])
        options = [learned, dict.fromkeys(names, 1 / len(names)), {best: 1.0}]
        return min(options, key=choice.loss)


def _descend(choice: Choice, names: list[str]) -> list[float]:
    """Return the weight of each network after gradient descent."""
    context = choice.parts[0]().context
    chosen = torch.zeros(len(names), device=context.device, requires_grad=True)
    optimizer, generator = torch.optim.Adam([chosen], lr=RATE), np.random.default_rng(context.seed)
    for _ in range(PASSES):
        for part in choice.parts:
            _pass(part(), names, chosen, optimizer, generator)
    return [float(share) for share in chosen.detach().softmax(0)]


def _pass(
    averager: WeightAverager,
    names: list[str],
    chosen: Tensor,
    optimizer: torch.optim.Optimizer,
    generator: np.random.Generator,
) -> None:
    """Make one pass over the rows of a part; `chosen` are the logarithms of the weights."""
    context, members = averager.context, [averager.member(name) for name in names]
    network, view = members[0].network, members[0].view
    # In evaluation mode, averaged weights would be combined with batch-norm statistics of another network.
    network.train(averager.batch_norm)
    parameters = [dict(member.network.named_parameters()) for member in members]
    stacked = {
        key: torch.stack([each[key] for each in parameters]).detach().to(context.device)
        for key in parameters[0]
    }
    buffers = {key: value.clone().to(context.device) for key, value in network.named_buffers()}
    data = context.dataset
    loss = loss_for(Fit(), data.task).prepare(
        data.learned(context.judged), data.class_names, network.output.scale, device=context.device
    )
    order = generator.permutation(context.judged)
    for rows in np.array_split(order, max(1, len(order) // context.batch_size)):
        images, labels = _examples(data, rows, view, generator, context.device)
        shares = chosen.softmax(0)
        blended: dict[str, Tensor] = {
            key: torch.einsum("m,m...->...", shares, value) for key, value in stacked.items()
        }
        logits = functional_call(network, {**blended, **buffers}, (images,))
        optimizer.zero_grad()
        loss.mean(logits, labels).backward()
        optimizer.step()
    network.eval()


def _examples(
    data: Dataset, rows: Rows, view: View, generator: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return normalized images of rows with their labels; of maps, a random crop of each image."""
    if data.maps is not None:
        found = augmented_crops(data, rows, view, seed=int(generator.integers(2**62)), device=device)
        return found.images, found.maps
    return view(data.images(rows, view).to(device)), tensor_of(data.labels[rows]).to(device)
