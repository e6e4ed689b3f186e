"""Weighted averages of networks of one architecture, and the loss barriers between them."""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from committee.backbones.outputs import Output
from committee.errors import DataError
from committee.images.dataset import Dataset
from committee.models.member import Member
from committee.training.fit.alignment import match
from committee.training.fit.batch_norm import has_batch_norm, recompute
from committee.training.fit.batches import Rows
from committee.training.fit.predict import logits_of
from committee.training.fit.symmetries import Permutations, Symmetries, find_symmetries
from committee.training.fit.weight_trackers import Weights

log = logging.getLogger(__name__)

STOPS = (0.25, 0.5, 0.75)
"""Points on the line between two networks at which the loss is measured, besides its ends."""
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
        Networks that are averaged, in evaluation mode and on the CPU. A mapping may load them when they are
        needed.
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
        self.members, self.context, self.who = members, context, who
        self.permutations: dict[str, Permutations] = {}
        self._ends: dict[str, float] = {}
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

    def member(self, name: str) -> Member:
        """Return a member, with permuted channels if it was aligned."""
        member, chosen = self.members[name], self.permutations.get(name)
        if chosen is None:
            return member
        twin = copy.deepcopy(member)
        net = twin.network.net
        net.load_state_dict(self._symmetries.permuted(net.state_dict(), chosen))
        return twin

    def judging(self, rows: Rows) -> WeightAverager:
        """Return an averager of the same networks that measures losses on other rows."""
        other = copy.copy(self)
        other.context, other._ends = replace(self.context, judged=rows), {}
        return other

    def align(self, name: str, anchor: str) -> bool:
        """Permute the channels of a member so that its weights are most similar to those of another member.

        Its function stays the same; see `committee.training.fit.alignment`.

        Returns
        -------
        bool
            Whether any channel has moved.

        Raises
        ------
        TrainingError
            The architecture has no channels that are known to be permutable.
        """
        own, other = (self.members[each].network.net.state_dict() for each in (name, anchor))
        chosen = match(self._symmetries, own, other, self.context.seed)
        self.permutations[name] = chosen
        return any((order != np.arange(len(order))).any() for order in chosen.values())

    @functools.cached_property
    def _symmetries(self) -> Symmetries:
        member, context = next(iter(self.members.values())), self.context
        with torch.inference_mode():
            images = member.view(context.dataset.images(context.rows[:2], member.view))
        return find_symmetries(member.network.net, images.clone(), self.who)

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
        members = {name: self.member(name) for name in weights}
        states = {name: member.network.state_dict() for name, member in members.items()}
        blended = copy.deepcopy(next(iter(members.values())))
        blended.network.load_state_dict(mean_of(states, weights))
        outputs = {name: member.network.output for name, member in members.items()}
        blended.network.output = mean_output(outputs, weights)
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

    @property
    def metric(self) -> str:
        """Name of the loss in reports."""
        return self.context.dataset.task.blended_by

    def loss(self, member: Member) -> float:
        """Return the loss of a member on the judged rows; infinite if its outputs are not finite.

        It is the log-loss, or the root of the mean squared error in units of the standard deviation.
        """
        context = self.context
        logits = logits_of(
            member, context.dataset, context.judged, batch_size=context.batch_size, device=context.device
        )
        if not np.isfinite(logits).all():
            return float("inf")
        return context.dataset.task.blend_loss(logits, context.dataset.learned(context.judged))

    def barrier(self, one: str, other: str) -> float:
        """Return the linear loss barrier between two members (Frankle et al. 2020).

        It is the largest difference, at three points on the line between their weights, between the loss of
        the average and the interpolated losses of the two. Batch-norm statistics are estimated at each point
        and at both ends, from the same images, so the barrier between a network and itself is 0.
        """
        rises = []
        for share in STOPS:
            loss = self.loss(self.blend({one: 1 - share, other: share}, FEW))
            rises.append(loss - (1 - share) * self._end(one) - share * self._end(other))
        return max(rises)

    def _end(self, name: str) -> float:
        """Return the loss of a member whose batch-norm statistics are estimated like those of an average."""
        if name not in self._ends:
            member = copy.deepcopy(self.members[name])
            if self.context.recompute_bn:
                self.recompute(member, FEW)
            self._ends[name] = self.loss(member)
        return self._ends[name]


def some_rows(rows: Rows, seed: int) -> Rows:
    """Return at most `MOST_ROWS` of the given rows, drawn at random, to measure losses on."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_ROWS])


def mean_output(outputs: Mapping[str, Output], weights: Mapping[str, float]) -> Output:
    """Return the output of an average, with the weighted mean of shifts and scales.

    Networks of other folds have other means and standard deviations of the targets.
    """
    first = next(iter(outputs.values()))
    if all(output == first for output in outputs.values()):
        return first
    shares = np.array([weights[name] for name in outputs])
    shift, scale = (
        tuple((shares @ np.array([getattr(each, key) for each in outputs.values()])).tolist())
        for key in ("shift", "scale")
    )
    return replace(first, shift=shift, scale=scale)


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
