"""Where a fit starts: an untrained member, and what it is shown."""

from __future__ import annotations

import torch
from torch import Tensor

from committee.backbones.build import pretrained_default
from committee.base.randomness import derive, sample_keys
from committee.images.augment import augment
from committee.images.dataset import Dataset
from committee.models.member import Member
from committee.recipe.members import MemberSpec
from committee.training.fit.batches import Rows


def starting_weights(spec: MemberSpec) -> bool | str:
    """Return whether a member starts from published weights, or the path of its own."""
    return pretrained_default(spec.backbone) if spec.pretrained is None else spec.pretrained


def start_member(spec: MemberSpec, dataset: Dataset, fold: str) -> Member:
    """Return the member before its training; all folds get the same weights unless `shared_start` is false.

    Raises
    ------
    CommitteeError
        The backbone cannot be built, or its published weights cannot be fetched.
    """
    return Member.build(
        spec.backbone,
        classes=dataset.class_names,
        size=spec.img_size,
        channels=dataset.channels,
        fit=dataset.fit,
        pretrained=starting_weights(spec),
        name=spec.name,
        trusted=True,
        seed=start_seed(spec, fold),
    )


def start_seed(spec: MemberSpec, fold: str) -> int:
    """Return the seed of the random weights that a fit of a member starts from."""
    part = "shared" if spec.training.shared_start else fold
    own = spec.training.start_seed
    return derive(spec.seed if own is None else own, spec.backbone, part, "start")


class BatchLoader:
    """The images of a fit as its network sees them: varied anew in each epoch, then normalized.

    Parameters
    ----------
    member : Member
        Its view has the size and the scale.
    spec : MemberSpec
    dataset : Dataset
    device : torch.device
    layout : torch.memory_format
        Of the batches.
    """

    def __init__(
        self,
        member: Member,
        spec: MemberSpec,
        dataset: Dataset,
        device: torch.device,
        layout: torch.memory_format,
    ) -> None:
        self.view, self.spec, self.dataset, self.device, self.layout = (
            member.view,
            spec,
            dataset,
            device,
            layout,
        )
        self.keys = sample_keys(dataset.sample_ids)

    def batch(self, rows: Rows, epoch: int) -> Tensor:
        """Return float32 `[B, c, size, size]` of rows of the data set; their ids decide the variations."""
        pixels = self.dataset.images(rows).to(self.device, non_blocking=True)
        seed = derive(self.spec.seed, self.spec.name, "augment", epoch)
        return augment(pixels, self.keys[rows], self.view, self.spec.training.augment, seed, self.layout)
