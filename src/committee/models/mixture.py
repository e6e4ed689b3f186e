"""The outputs of the members of an ensemble, and the mixture of the distributions that they predict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from committee.base.tables import for_notebook
from committee.base.text import count, count_parameters
from committee.models.batch import Batch
from committee.models.measure import parameters
from committee.models.moments import Distributed, WithVariance, has_variance
from committee.models.vote import Output, Vote, run_views, views_of_network
from committee.solvers.moments import mixed, parts_of_variance, shares_of


class Mixture(Distributed, Vote):
    """A vote on networks and on earlier votes, with the distribution of what it predicts.

    If members predict normal distributions of numbers, an ensemble is their mixture, with the weights of its
    combiner. A combiner without weights, such as stacking or the median, is the mixture with equal weights
    whose variance is counted from what the combiner predicts.

    Attributes
    ----------
    members, votes : nn.ModuleList
        The unique networks, and the earlier votes on their outputs.
    outputs : tuple of Output
        What votes can combine.

    See Also
    --------
    committee.models.Ensemble : A combination of members.

    Examples
    --------
    >>> import torch
    >>> from committee.models import Ensemble, Member
    >>> nets = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2)) for _ in range(3)]
    >>> members = [Member.from_module(net, targets=["age"], size=8, variance=True) for net in nets]
    >>> found = Ensemble(members).predict_distribution(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
    >>> found.mean.shape, bool((found.total >= found.epistemic).all())
    ((4, 1), True)
    """

    members: nn.ModuleList
    votes: nn.ModuleList
    outputs: tuple[Output, ...]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._summary()})"

    def _repr_html_(self) -> str:
        """Return the inputs of the combiner, their weights and parameters as a table, for notebooks."""
        weights = self.combiner.member_weights() or {}
        rows = [[name, f"{weights[name]:.4g}" if name in weights else ""] for name in self.names]
        return for_notebook(["member", "weight"], rows, self._summary())

    def _summary(self) -> str:
        """Return the name, the combiner, and the numbers of members, networks and parameters."""
        name = getattr(self, "name", "") or "ensemble"
        return (
            f"{name}: {self.combiner.key} of {count(len(self.names), 'member')}, "
            f"{count(len(self.members), 'network')}, {count_parameters(parameters(self))}"
        )

    @property
    def has_variance(self) -> bool:
        """Whether all networks predict the variance of each number."""
        return all(map(has_variance, self.members))

    @property
    def has_spread(self) -> bool:
        """Whether there is a variance: several members of numbers, or networks that predict one."""
        return self.task.variances and (len(self.inputs) > 1 or self.has_variance)

    def member_logits(self, images: Tensor | Batch, *, lazy: bool = False) -> Tensor:
        """Return the inputs of the combiner, float32 `[M, B, C]`, in the order of `names`.

        If `lazy`, networks skip what cannot change their outputs: their method `infer` is called.
        """
        return self._inputs_of(images, lambda network: network, _combined, lazy)

    def member_moments(self, images: Tensor | Batch) -> Tensor:
        """Return numbers and variances of the inputs of the combiner, float32 `[M, B, T, 2]`."""
        return self._inputs_of(images, WithVariance, mixture_of)

    def outputs_of(
        self,
        member: int,
        batch: Batch,
        wrap: Callable[[nn.Module], nn.Module] = lambda network: network,
        lazy: bool = False,
    ) -> dict[int, Tensor]:
        """Return the outputs `[B, C, ...]` of one of the networks, by their position in `outputs`."""
        views = views_of_network(self.outputs, member)
        found = run_views(wrap(self.members[member]), list(views.values()), batch, lazy=lazy)
        return dict(zip(views, found, strict=True))

    def combine_outputs(self, outputs: Mapping[int, Tensor]) -> Tensor:
        """Return the result `[B, C, ...]` of the outputs of all networks, by their position in `outputs`."""
        return self.combined(self._voted(outputs, _combined))

    def _inputs_of(
        self,
        images: Tensor | Batch,
        wrap: Callable[[nn.Module], nn.Module],
        combine: Callable[[Vote, Tensor], Tensor],
        lazy: bool = False,
    ) -> Tensor:
        batch = Batch.of(images)
        outputs: dict[int, Tensor] = {}
        for member in range(len(self.members)):
            outputs |= self.outputs_of(member, batch, wrap, lazy)
        return self._voted(outputs, combine)

    def _voted(self, outputs: Mapping[int, Tensor], combine: Callable[[Vote, Tensor], Tensor]) -> Tensor:
        """Return the inputs of the combiner, which are outputs of networks and of earlier votes."""
        known = dict(outputs)
        for index, vote in enumerate(cast("Iterable[Vote]", self.votes)):
            known[~index] = combine(vote, vote.stack_inputs(known))
        return self.stack_inputs(known)

    def moments(self, images: Tensor | Batch) -> Tensor:
        """Return numbers and their variances, float `[B, T, 2]`: those of the mixture of the members."""
        return mixture_of(self, self.member_moments(images))

    def variance_parts(self, images: Tensor | Batch) -> Tensor:
        """Return numbers, and the aleatoric and the epistemic part of their variance, float `[B, T, 3]`."""
        inputs = self.member_moments(images)
        mean, shares = self.combiner(inputs[..., 0]), _shares(self, inputs)
        return torch.stack([mean, *parts_of_variance(inputs, shares, mean)], -1)


def _combined(vote: Vote, inputs: Tensor) -> Tensor:
    return cast("Tensor", vote.combiner(inputs))


def mixture_of(vote: Vote, inputs: Tensor) -> Tensor:
    """Return mean and variance `[B, T, 2]` of what a vote predicts, from those of its inputs."""
    return mixed(inputs, _shares(vote, inputs), vote.combiner(inputs[..., 0]))


def _shares(vote: Vote, inputs: Tensor) -> Tensor:
    shares: Sequence[float] = shares_of(vote.combiner.member_weights(), len(inputs))
    return torch.tensor(shares, device=inputs.device)
