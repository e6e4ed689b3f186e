"""Permutation alignment of two networks of one architecture, by matching their weights (Git Re-Basin)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from committee.training.fit.symmetries import Permutations, Symmetries
from committee.training.fit.weight_trackers import Weights

MOST_PASSES = 100
"""Largest number of passes over the groups of channels; a few suffice."""
SMALLEST_GAIN = 1e-9
"""Smallest relative increase of the similarity of a group that counts as progress."""


def aligned(
    symmetries: Symmetries, state: Mapping[str, Tensor], anchor: Mapping[str, Tensor], seed: int = 0
) -> Weights:
    """Permute the channels of a network so that its weights are most similar to those of another one.

    Weight matching of Ainsworth et al. 2023 (arXiv 2209.04836), algorithm 1: one group of channels after the
    other is permuted optimally, with the others fixed, until nothing improves. Averaged channels of
    networks that were matched have smaller variances than their own, so batch-norm statistics of an average
    must be estimated again (REPAIR, Jordan et al. 2023, arXiv 2211.08403).

    Parameters
    ----------
    symmetries : Symmetries
        From `find_symmetries`, of the architecture of both.
    state : mapping of str to Tensor
        State dict of the network that is permuted.
    anchor : mapping of str to Tensor
        State dict of the other network.
    seed : int
        Seed of the order of the groups.

    Returns
    -------
    dict of str to Tensor
        State dict of a network that computes the same function as `state`.

    See Also
    --------
    committee.training.fit.weight_averager.WeightAverager.barrier : What alignment lowers.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from committee.training.fit.symmetries import find_symmetries
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    >>> symmetries = find_symmetries(net, torch.randn(2, 4), "net")
    >>> twin = symmetries.permuted(net.state_dict(), {0: np.random.default_rng(0).permutation(8)})
    >>> back = aligned(symmetries, twin, net.state_dict())
    >>> all(torch.equal(back[key], value) for key, value in net.state_dict().items())
    True
    """
    return symmetries.permuted(state, match(symmetries, state, anchor, seed))


def match(
    symmetries: Symmetries, state: Mapping[str, Tensor], anchor: Mapping[str, Tensor], seed: int = 0
) -> Permutations:
    """Return the permutations with which `aligned` permutes a network."""
    matching = _Matching(symmetries, state, anchor)
    generator = np.random.default_rng(seed)
    for _ in range(MOST_PASSES):
        order = generator.permutation(list(symmetries.sizes))
        if sum(matching.improve(int(group)) for group in order) == 0:
            break
    return matching.chosen


class _Matching:
    """Permutations in search, with the weights of the two networks."""

    def __init__(
        self, symmetries: Symmetries, state: Mapping[str, Tensor], anchor: Mapping[str, Tensor]
    ) -> None:
        self.symmetries, self.chosen = symmetries, symmetries.identity()
        # Running statistics are consequences of the weights.
        keys = {key for key, _ in symmetries.axes if not key.rpartition(".")[2].startswith("running_")}
        self.anchor = {key: anchor[key].double().cpu() for key in keys}
        self.state = {key: state[key].double().cpu() for key in keys}
        self.scale = sum(float(value.square().sum()) for value in self.anchor.values())

    def improve(self, group: int) -> bool:
        """Permute one group optimally, given the others; return whether that was an improvement."""
        similarity = self._similarity(group)
        before = float(np.trace(similarity[:, self.chosen[group]]))
        rows, columns = linear_sum_assignment(similarity, maximize=True)
        if float(similarity[rows, columns].sum()) <= before + SMALLEST_GAIN * self.scale:
            return False
        self.chosen[group] = columns.astype(np.int64)
        return True

    def _similarity(self, group: int) -> NDArray[np.float64]:
        """Return the inner products of the weights of all channels of the anchor and of the network."""
        size = self.symmetries.sizes[group]
        total = np.zeros((size, size))
        others = {**self.chosen, group: np.arange(size)}
        places = [place for place in self.symmetries.axes if place[0] in self.anchor]
        for key in dict.fromkeys(key for key, _ in places):
            mine = {dim: self.symmetries.axes[key, dim] for name, dim in places if name == key}
            if not any(part.group == group for axis in mine.values() for part in axis):
                continue
            only = Symmetries(axes={(key, dim): axis for dim, axis in mine.items()})
            moved = only.permuted({key: self.state[key]}, others)[key]
            for dim, axis in mine.items():
                start = 0
                for part in axis:
                    length = part.size * part.block
                    if part.group == group:
                        one, other = (
                            each.narrow(dim, start, length).movedim(dim, 0).reshape(size, -1).numpy()
                            for each in (self.anchor[key], moved)
                        )
                        total += one @ other.T
                    start += length
        return total
