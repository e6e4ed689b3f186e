"""Start of a fit: the untrained member, and the loader of its training images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.backbones.build import pretrained_default
from committee.base.randomness import derive
from committee.images.augment import augment
from committee.images.dataset import Dataset
from committee.models.member import Member
from committee.recipe.members import MemberSpec
from committee.training.fit.batches import Rows
from committee.training.fit.engine import memory_format, number_format
from committee.training.fit.job import Job
from committee.training.fit.map_loader import MapLoader
from committee.training.losses.base import loss_for


def starting_weights(spec: MemberSpec) -> bool | str:
    """Return whether a member starts from published weights, or the path of a file with its weights."""
    return pretrained_default(spec.backbone) if spec.pretrained is None else spec.pretrained


def head_epochs(spec: MemberSpec) -> int:
    """Return the number of first epochs in which only the head of a pretrained network is trained.

    At least one epoch remains for the whole network.
    """
    return min(wanted_head_epochs(spec), spec.training.epochs - 1)


def wanted_head_epochs(spec: MemberSpec) -> int:
    """Return `head_epochs`; 0 if the initial weights are random, or the body is frozen throughout."""
    return spec.training.head_epochs if starting_weights(spec) and spec.training.body_lr > 0 else 0


def untrained(
    spec: MemberSpec, dataset: Dataset, labels: NDArray[Any] | None = None, **options: Any
) -> Member:
    """Return a member for the classes or targets, and for the images, of a data set.

    Parameters
    ----------
    spec : MemberSpec
    dataset : Dataset
    labels : array `[N]` or `[N, T]`, optional
        What the fit learns; by default the labels of all training rows. The outputs for numbers have their
        mean and standard deviation.
    **options
        Options of `Member.build`.
    """
    labels = dataset.learned(dataset.rows("train")) if labels is None else labels
    shift, scale = dataset.target_type.standardization(labels)
    names: dict[str, Any] = {dataset.target_type.outputs: dataset.class_names}
    return Member.build(
        spec.backbone,
        **names,
        task=dataset.task,
        units=dataset.units,
        shift=shift,
        scale=scale,
        variance=loss_for(spec.training, dataset.task, spec.name).has_variance,
        size=spec.img_size,
        channels=dataset.channels,
        fit=dataset.fit,
        name=spec.name,
        trusted=True,
        output_stride=spec.training.output_stride,
        **options,
    )


def start_member(spec: MemberSpec, dataset: Dataset, fold: str, labels: NDArray[Any] | None = None) -> Member:
    """Return the untrained member. All folds have the same weights unless `shared_start` is false.

    Raises
    ------
    CommitteeError
        The backbone cannot be built, or its published weights cannot be downloaded.
    """
    return untrained(spec, dataset, labels, pretrained=starting_weights(spec), seed=start_seed(spec, fold))


def start_seed(spec: MemberSpec, fold: str) -> int:
    """Return the seed of the random weights that a fit of a member starts from."""
    part = "shared" if spec.training.shared_start else fold
    own = spec.training.start_seed
    return derive(spec.seed if own is None else own, spec.backbone, part, "start")


def place_member(job: Job, device: torch.device) -> tuple[Member, torch.memory_format]:
    """Return the member that a fit starts from, on `device`, and the memory format of its images."""
    begin = partial(start_member, job.spec, job.dataset, job.fold, job.learned)
    member = (job.extra.begin or begin)()
    settings = job.spec.training
    form = number_format(job.device, settings.precision)
    layout = memory_format(member.network, settings.channels_last, job.device, form)
    member.to(device)
    member.network.to(memory_format=layout)
    return member, layout


def tensor_of(labels: NDArray[Any]) -> Tensor:
    """Return labels as a tensor, int64 `[N]` or float32 `[N, T]`."""
    found = torch.as_tensor(labels)
    return found.float() if found.is_floating_point() else found


class BatchLoader:
    """Loads batches of training images: augmented differently in each epoch, then normalized.

    Parameters
    ----------
    member : Member
        Its view decides the size and the normalization of the images.
    spec : MemberSpec
    dataset : Dataset
    device : torch.device
    layout : torch.memory_format
        Memory format of the batches.
    """

    def __init__(
        self,
        member: Member,
        spec: MemberSpec,
        dataset: Dataset,
        device: torch.device,
        layout: torch.memory_format,
    ) -> None:
        self.view, self.spec, self.dataset = member.view, spec, dataset
        self.device, self.layout = device, layout
        self.amounts = spec.training.augment.amounts()
        unused = np.zeros(len(dataset.sample_ids), np.uint64)
        self.keys = unused if self.amounts.change_nothing else dataset.keys

    def batch(self, rows: Rows, epoch: int) -> Tensor:
        """Return images of rows of the data set, augmented by sample id and epoch.

        Parameters
        ----------
        rows : int64 `[B]`
        epoch : int

        Returns
        -------
        float32 tensor `[B, c, size, size]`
        """
        pixels = self.dataset.images(rows, self.view).to(self.device, non_blocking=True)
        seed = derive(self.spec.seed, self.spec.name, "augment", epoch)
        return augment(pixels, self.keys[rows], self.view, self.amounts, seed, self.layout)


class EpochLoader:
    """Loads the images and labels of positions in the rows of a fit, for its current epoch.

    Parameters
    ----------
    images : BatchLoader
    rows : int64 `[N]`
        Rows of the data set.
    epoch : callable
        Returns the number of the current epoch.
    """

    def __init__(self, images: BatchLoader, rows: Rows, epoch: Callable[[], int]) -> None:
        self.images, self.rows, self.epoch = images, rows, epoch
        self.labels = tensor_of(images.dataset.labels[rows]).to(images.device)

    def __call__(self, positions: Rows) -> tuple[Tensor, Tensor]:
        """Return images float32 `[B, c, size, size]` and their labels, for positions int64 `[B]`."""
        images = self.images.batch(self.rows[positions], self.epoch())
        return images, self.labels.index_select(0, torch.from_numpy(positions).to(self.labels.device))


def examples(
    member: Member,
    spec: MemberSpec,
    dataset: Dataset,
    device: torch.device,
    layout: torch.memory_format,
    rows: Rows,
    epoch: Callable[[], int],
) -> EpochLoader | MapLoader:
    """Return the loader of images with one label each, or of crops with their maps."""
    if dataset.maps is not None:
        return MapLoader(member, spec, dataset, device, layout, rows, epoch)
    return EpochLoader(BatchLoader(member, spec, dataset, device, layout), rows, epoch)
