"""Weighted averages of networks of one architecture, and the loss barriers between them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from committee.errors import DataError
from committee.images.dataset import Dataset
from committee.metrics.classification import evaluate
from committee.models.member import Member
from committee.training.fit.batch_norm import has_batch_norm, recompute
from committee.training.fit.batches import Rows
from committee.training.fit.predict import logits_of
from committee.training.fit.weight_trackers import Weights

log = logging.getLogger(__name__)

STOPS = (0.25, 0.5, 0.75)
"""Points on the line between two networks at which the loss is measured."""
MOST_ROWS = 2000
"""Largest number of training rows that losses are measured on."""
FEW = 20
"""Batches from which batch-norm statistics are estimated for a measurement."""


@dataclass(frozen=True, eq=False)
class SoupContext:
    """Data and settings that the soups of one fit share.

    Attributes
    ----------
    dataset : Dataset
    rows : int64 `[N]`
        Training rows, on which batch-norm statistics are estimated.
    judged : int64 `[n]`
        Rows on which losses are measured: the validation split if a soup chooses by losses.
    batch_size : int
    device : torch.device
    recompute_bn : bool
        Whether batch-norm statistics are estimated again after averaging.
    num_batches : int
        Number of batches from which they are estimated.
    seed : int
    """

    dataset: Dataset
    rows: Rows
    judged: Rows
    batch_size: int
    device: torch.device
    recompute_bn: bool
    num_batches: int
    seed: int


class WeightAverager:
    """Averages the weights of networks, and measures the averages.

    Parameters
    ----------
    members : mapping of str to Member
        Networks that are averaged, in evaluation mode and on the CPU.
    context : SoupContext
    who : str
        Name of the soup, for messages.

    Raises
    ------
    DataError
        The members differ in architecture, view or classes.

    See Also
    --------
    committee.training.soups.base.Soup : Chooses the weights of an average.
    """

    def __init__(self, members: Mapping[str, Member], context: SoupContext, who: str) -> None:
        self.members, self.context, self.who = dict(members), context, who
        self._require_same_kind()
        self.batch_norm = has_batch_norm(next(iter(self.members.values())).network)
        if self.batch_norm and not context.recompute_bn:
            log.warning("%s: batch-norm statistics do not fit averaged weights; set recompute_bn=true", who)

    def _require_same_kind(self) -> None:
        first, *others = self.members.items()
        for name, member in others:
            for what, one, other in zip(
                ("architecture", "view", "classes"), _kind(first[1]), _kind(member), strict=True
            ):
                if one != other:
                    raise DataError(
                        self.who,
                        expected=f"networks with the same {what}",
                        got=f"{first[0]} and {name}, which differ",
                        todo="Choose members of one backbone and image size, trained on the same classes.",
                    )

    def only(self, names: Sequence[str]) -> WeightAverager:
        """Return an averager of some of the members."""
        some = copy.copy(self)
        some.members = {name: self.members[name] for name in names}
        return some

    def blend(self, weights: Mapping[str, float], num_batches: int | None = None) -> Member:
        """Return a member whose network has the weighted mean of the members' weights.

        Parameters
        ----------
        weights : mapping of str to float
            Weight of each member; they sum to 1.
        num_batches : int, optional
            Number of batches from which batch-norm statistics are estimated, if `recompute_bn` is set; 0
            keeps their weighted mean. By default that of the context.
        """
        states = {name: self.members[name].network.state_dict() for name in weights}
        blended = copy.deepcopy(self.members[next(iter(weights))])
        blended.network.load_state_dict(mean_of(states, weights))
        blended.name = self.who
        wanted = self.context.num_batches if num_batches is None else num_batches
        if self.context.recompute_bn and wanted and sum(weight > 0 for weight in weights.values()) > 1:
            self.recompute(blended, wanted)
        return blended

    def recompute(self, member: Member, num_batches: int) -> None:
        """Estimate the batch-norm statistics of a member again, in place."""
        context = self.context
        recompute(
            member,
            context.dataset,
            context.rows,
            batch_size=context.batch_size,
            device=context.device,
            num_batches=num_batches,
            seed=context.seed,
        )

    def loss(self, member: Member) -> float:
        """Return the log-loss of a member on the judged rows; infinite if its logits are not finite."""
        context = self.context
        logits = logits_of(
            member, context.dataset, context.judged, batch_size=context.batch_size, device=context.device
        )
        if not np.isfinite(logits).all():
            return float("inf")
        log_probs = torch.from_numpy(logits).log_softmax(1).numpy()
        return evaluate(log_probs, context.dataset.labels[context.judged], ["log_loss"])["log_loss"]

    def barrier(self, one: str, other: str, losses: Mapping[str, float]) -> float:
        """Return the linear loss barrier between two members (Frankle et al. 2020).

        It is the largest difference, at three points on the line between their weights, between the loss of
        the average and the interpolated losses of the two. Batch-norm statistics are estimated at each point.

        Parameters
        ----------
        one, other : str
        losses : mapping of str to float
            Log-loss of each of the two.
        """
        rises = []
        for share in STOPS:
            loss = self.loss(self.blend({one: 1 - share, other: share}, FEW))
            rises.append(loss - (1 - share) * losses[one] - share * losses[other])
        return max(rises)


def some_rows(rows: Rows, seed: int) -> Rows:
    """Return at most `MOST_ROWS` of the given rows, drawn at random, to measure losses on."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_ROWS])


def mean_of(states: Mapping[str, Weights], weights: Mapping[str, float]) -> Weights:
    """Return the weighted mean of state dicts; integer counters are those of the first."""
    first = next(iter(states))
    mean: dict[str, Tensor] = {}
    for key, value in states[first].items():
        mean[key] = value.clone()
        if value.is_floating_point():
            parts = [states[name][key].double() * weight for name, weight in weights.items() if weight]
            mean[key] = torch.stack(parts).sum(0).to(value.dtype)
    return mean


def _kind(member: Member) -> tuple[Any, ...]:
    """Return the properties in which averaged members must agree."""
    shapes = {key: tuple(value.shape) for key, value in member.network.state_dict().items()}
    return shapes, member.view.options(), member.class_names
