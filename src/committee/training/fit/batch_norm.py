"""Estimation of batch-norm statistics for averaged weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from committee.base.limits import at_least
from committee.base.randomness import derive
from committee.images.augment import augment
from committee.images.dataset import Dataset
from committee.models.member import Member
from committee.recipe.augment import Amounts
from committee.training.fit.batches import Rows
from committee.training.fit.map_loader import augmented_crops


def has_batch_norm(module: nn.Module) -> bool:
    """Return whether a network has batch norm with running statistics."""
    return any(isinstance(each, _BatchNorm) and each.track_running_stats for each in module.modules())


def training_augmentation(member: Member) -> Amounts:
    """Return the augmentation with which a member was trained; none for one that was trained elsewhere."""
    stored = member.provenance.get("augment", {})
    return Amounts(**{each.name: stored[each.name] for each in fields(Amounts) if each.name in stored})


def recompute(
    member: Member,
    dataset: Dataset,
    rows: Rows,
    *,
    batch_size: int,
    device: torch.device,
    num_batches: int = 100,
    seed: int = 0,
    augmentation: Amounts | None = None,
) -> int:
    """Estimate the statistics of all batch norms in place, as their cumulative mean over training images.

    Averaged weights have other activations than the weights they were averaged from, so neither statistics
    belong to them (Izmailov et al. 2018). The images are augmented as in training, since statistics of images
    that are not belong to other activations than those that the weights were trained with. A network without
    batch norm is not changed.

    Parameters
    ----------
    member : Member
        It is on the CPU and in evaluation mode afterwards. No gradients are computed.
    dataset : Dataset
    rows : int64 `[N]`
        Training rows, from which images are drawn without replacement.
    batch_size : int
        Images in a batch.
    device : torch.device
    num_batches : int
        Largest number of batches.
    seed : int
        Seed of the draw and of the augmentation.
    augmentation : Amounts, optional
        Augmentation of the training images of the member; by default that of its provenance, or none.

    Returns
    -------
    int
        Number of images that the statistics were estimated from; 0 without batch norm.

    See Also
    --------
    torch.optim.swa_utils.update_bn : The function that does this for a loader.
    """
    at_least("num_batches", num_batches, 1)
    if not has_batch_norm(member.network):
        return 0
    augmentation = augmentation or training_augmentation(member)
    order = np.random.default_rng(seed).permutation(rows)[: num_batches * batch_size]
    # A batch of a single image has no variance.
    parts = np.array_split(order, max(1, round(len(order) / batch_size)))

    def batches() -> Iterator[Tensor]:
        for number, part in enumerate(parts):
            if dataset.maps is not None:
                crops_seed = derive(seed, "batch_norm", number)
                yield augmented_crops(dataset, part, member.view, augmentation, crops_seed, device).images
                continue
            keys = dataset.keys[part]
            pixels = dataset.images(part, member.view).to(device)
            yield augment(pixels, keys, member.view, augmentation, derive(seed, "batch_norm"))

    member.to(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # for dropout
        update_bn(batches(), member.network)
    member.to("cpu").eval()
    return len(order)
