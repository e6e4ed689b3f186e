"""Networks of one architecture, what their averages come to, and how rough the way between them is."""

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
"""Where the loss is measured on the line between two networks."""
MOST = 2000
"""Training rows that losses are measured on."""
FEW = 20
"""Batches that statistics are estimated from for a measurement."""


@dataclass(frozen=True, eq=False)
class SoupContext:
    """What soups of one fit share.

    Attributes
    ----------
    dataset : Dataset
    rows : int64 `[N]`
        Training rows: statistics are estimated on them.
    judged : int64 `[n]`
        Rows that losses are measured on: those kept apart where a soup chooses by them.
    batch_size : int
    device : torch.device
    recompute_bn : bool
        Whether batch norm's statistics are estimated again after averaging.
    num_batches : int
        From so many batches.
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
    """The ingredients of a soup.

    Parameters
    ----------
    members : mapping of str to Member
        In evaluation mode, on the CPU.
    kitchen : SoupContext
    who : str
        The soup, for people.

    Raises
    ------
    DataError
        They are not of one architecture, one view and one order of classes.
    """

    def __init__(self, members: Mapping[str, Member], context: SoupContext, who: str) -> None:
        self.members, self.context, self.who = dict(members), context, who
        self._require_alike()
        self.batch_norm = has_batch_norm(next(iter(self.members.values())).network)
        if self.batch_norm and not context.recompute_bn:
            log.warning(
                "%s: batch norm's statistics do not belong to averaged weights: set recompute_bn", who
            )

    def _require_alike(self) -> None:
        first, *others = self.members.items()
        for name, member in others:
            for what, one, other in zip(
                ("architecture", "view", "classes"), _kind(first[1]), _kind(member), strict=True
            ):
                if one != other:
                    raise DataError(
                        self.who,
                        expected=f"networks of one {what}",
                        got=f"{first[0]} and {name}, which differ",
                        todo="Name members of one backbone and size, trained on the same classes.",
                    )

    def only(self, names: Sequence[str]) -> WeightAverager:
        """Return the pot with some of the ingredients."""
        some = copy.copy(self)
        some.members = {name: self.members[name] for name in names}
        return some

    def blend(self, weights: Mapping[str, float], num_batches: int | None = None) -> Member:
        """Return the member whose weights are the weighted mean of the ingredients'.

        Parameters
        ----------
        weights : mapping of str to float
            They sum to 1.
        num_batches : int, optional
            Batches that statistics are estimated from, where that is wanted; 0 leaves their mean.
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
        """Estimate batch norm's statistics of a member again, in place."""
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
        """Return a member's log-loss on the judged rows; infinite where its logits are no numbers."""
        context = self.context
        logits = logits_of(
            member, context.dataset, context.judged, batch_size=context.batch_size, device=context.device
        )
        if not np.isfinite(logits).all():
            return float("inf")
        log_probs = torch.from_numpy(logits).log_softmax(1).numpy()
        return evaluate(log_probs, context.dataset.labels[context.judged], ["log_loss"])["log_loss"]

    def barrier(self, one: str, other: str, losses: Mapping[str, float]) -> float:
        """Return how far the loss on the line between two networks rises above the one between their losses.

        The linear barrier of Frankle et al. (2020), at three stops, with statistics estimated anew at each.
        """
        rises = []
        for share in STOPS:
            loss = self.loss(self.blend({one: 1 - share, other: share}, FEW))
            rises.append(loss - (1 - share) * losses[one] - share * losses[other])
        return max(rises)


def some_rows(rows: Rows, seed: int) -> Rows:
    """Return rows to measure losses on: some of these, where they are many."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:MOST])


def mean_of(states: Mapping[str, Weights], weights: Mapping[str, float]) -> Weights:
    """Return the weighted mean of state dicts; counters are those of the first."""
    first = next(iter(states))
    mean: dict[str, Tensor] = {}
    for key, value in states[first].items():
        mean[key] = value.clone()
        if value.is_floating_point():
            parts = [states[name][key].double() * weight for name, weight in weights.items() if weight]
            mean[key] = torch.stack(parts).sum(0).to(value.dtype)
    return mean


def _kind(member: Member) -> tuple[Any, ...]:
    shapes = {key: tuple(value.shape) for key, value in member.network.state_dict().items()}
    return shapes, member.view.options(), member.class_names
