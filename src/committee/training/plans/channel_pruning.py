"""Plan that removes channels of a stored member, and fine-tunes what is left."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from committee.images.dataset import Dataset
from committee.models.measure import parameters
from committee.models.member import Member
from committee.recipe.channel_pruning import ChannelPruning as Section
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.fit.batches import Rows
from committee.training.fit.channels import remove_channels
from committee.training.fit.embeddings import one_network
from committee.training.fit.job import Extra
from committee.training.plans.base import Stored
from committee.training.plans.shared.of_backbone import OfBackbone

FEW = 4
"""Images with which a network is traced."""


class ChannelPruning(OfBackbone):
    """A stored member with fewer channels (structured pruning).

    The network of each fold is pruned and fine-tuned on the rows of that fold, so the result has out-of-fold
    predictions like any other member. See `remove_channels` for how channels are chosen.

    Parameters
    ----------
    spec : MemberSpec
        Settings of the fine-tuning; its backbone, image size and name are those of the result.
    dataset : Dataset
    store : Store
        Contains the member.
    device : torch.device
    member : str
        Name of the member.
    source : str
        Digest of what its networks were made from.
    config : Section
        `channel_pruning` of the recipe.
    inference : {"refit", "folds"}
        The deployed networks.
    trusted : bool or collection of str
        The `python:` backbones that may be built from the store.

    See Also
    --------
    committee.training.fit.channels.remove_channels : How one network is pruned.

    Examples
    --------
    >>> from committee.recipe.channel_pruning import ChannelPruning as Section
    >>> from committee.training.plans._example import example_arguments
    >>> plan = ChannelPruning(**example_arguments(), member="resnet", source="digest", config=Section())
    >>> plan.facts()["of"], plan.settings()["amount"]
    (['resnet'], 0.5)
    """

    section = "channel_pruning"
    fixes = "a pruned network trains all epochs, and keeps the weights of the last one"

    def __init__(
        self,
        spec: MemberSpec,
        dataset: Dataset,
        store: Store,
        device: torch.device,
        member: str,
        source: str,
        config: Section,
        inference: str = "refit",
        trusted: bool | Collection[str] = (),
    ) -> None:
        super().__init__(spec, dataset, store, device)
        self.spec = self.fixed(head_epochs=0)
        self.epochs, self.inference = self.spec.training.epochs, inference
        self.member, self.source, self.config, self.trusted = member, source, config, trusted
        self.of = [member]
        folds = [fold for fold in store.folds(member) if fold != "refit"]
        self.folds = len(folds)

    def settings(self) -> Mapping[str, Any]:
        """Return the settings of the fine-tuning, the networks that are pruned, and how."""
        own = {"source": self.source, "amount": self.config.amount, "streams": self.config.streams}
        return {**super().settings(), **own}

    def check(self) -> None:
        """Raise TrainingError if the channels of the network cannot be removed; see the base class."""
        self._begin(self.store.folds(self.member)[-1])

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Prune the network of the fold and fine-tune it on `rows`; see the base class."""
        pruned = self._begin(fold)
        before, after = parameters(self._network(fold)), parameters(pruned)
        member = self.fit(
            rows, fold, fingerprint, extra=Extra(begin=functools.partial(_given, pruned))
        ).member
        summary = (
            f"{before} parameters before, {after} after the removal of {self.config.amount:.0%} of channels"
        )
        member.provenance |= {"pruned": {"before": before, "after": after}, "summary": summary}
        return {self.name: member}

    def _network(self, fold: str) -> Member:
        return one_network(self.store.checkpoint(self.member, fold), self.trusted)

    def _begin(self, fold: str) -> Member:
        """Return the network of a fold without the removed channels."""
        member = self._network(fold)
        images = self.dataset.images(self.dataset.rows("train")[:FEW], member.view)
        remove_channels(
            member.network, _normalized(member, images), self.config.amount, self.name, self.config.streams
        )
        member.name = self.name
        return member


def _normalized(member: Member, images: Tensor) -> Tensor:
    found: Tensor = member.view(images)
    return found


def _given(member: Member) -> Member:
    """Return the member; a function, since fits of several processes pickle it."""
    return member
