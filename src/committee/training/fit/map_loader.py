"""Batches of random crops of images and of their maps."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.base.randomness import derive
from committee.images.dataset import Dataset
from committee.images.joint import Pairs, crop_pairs
from committee.images.view import View
from committee.models.member import Member
from committee.recipe.augment import Amounts
from committee.recipe.members import MemberSpec
from committee.training.fit.batches import Rows

MOST_CROPS = 64
"""Largest number of crops of an image in an epoch, unless the recipe sets it."""
BALANCED = "balanced"


class MapLoader:
    """Loads crops of positions in the rows of a fit, for its current epoch.

    A row that occurs several times among the positions gives different crops. With `training.sampler:
    balanced`, a crop contains a pixel of a class that is drawn from those of its image, all equally often.

    Parameters
    ----------
    member : Member
        Its view decides the size of the crops and their normalization.
    spec : MemberSpec
    dataset : Dataset
        With maps.
    device : torch.device
    layout : torch.memory_format
        Memory format of the crops.
    rows : int64 `[N]`
        Rows of the data set.
    epoch : callable
        Returns the number of the current epoch.
    """

    def __init__(
        self,
        member: Member,
        spec: MemberSpec,
        dataset: Dataset,
        device: torch.device,
        layout: torch.memory_format,
        rows: Rows,
        epoch: Callable[[], int],
    ) -> None:
        self.view, self.spec, self.dataset = member.view, spec, dataset
        self.device, self.layout, self.rows, self.epoch = device, layout, rows, epoch
        self.amounts = spec.training.augment.amounts()
        self.keys = dataset.keys[rows] + _numbers_of_copies(rows).astype(np.uint64)

    def __call__(self, positions: Rows) -> tuple[Tensor, Tensor]:
        """Return crops float32 `[B, c, size, size]`, and the labels of their pixels; see `crop_pairs`."""
        maps = self.dataset.maps
        assert maps is not None
        found = crop_pairs(
            maps,
            self.rows[positions],
            self.keys[positions],
            self.view,
            self.amounts,
            derive(self.spec.seed, self.spec.name, "augment", self.epoch()),
            self._center if self.spec.training.sampler == BALANCED else None,
            self.device,
            self.layout,
        )
        return found.images, found.maps

    def _center(self, row: int, draws: NDArray[np.float32]) -> tuple[int, int]:
        """Return a pixel of an image, of one of its classes, or of one of the bins of its numbers."""
        dataset = self.dataset
        assert dataset.maps is not None and dataset.points is not None
        own = dataset.positions(np.array([row]))
        strata = dataset.target_type.strata(dataset.table.labels[own])
        names = np.unique(strata)
        among = own[strata == names[int(draws[0] * len(names))]]
        pixel = int(dataset.points.pixel[among[int(draws[1] * len(among))]])
        return divmod(pixel, int(dataset.maps.sizes[row, 1]))


def augmented_crops(
    dataset: Dataset,
    rows: Rows,
    view: View,
    amounts: Amounts | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Pairs:
    """Return a random crop of each row with its map, augmented if there are `amounts`."""
    assert dataset.maps is not None
    keys = dataset.keys[rows]
    return crop_pairs(dataset.maps, rows, keys, view, amounts or Amounts(), seed, device=device)


def crops_of_epoch(rows: Rows, sizes: NDArray[np.int64], size: int, wanted: int | None) -> Rows:
    """Return the rows of an epoch, each as often as it is cropped.

    By default, there are as many crops of an image as squares of `size` pixels cover it, up to `MOST_CROPS`.
    """
    if wanted is not None:
        return np.repeat(rows, wanted)
    areas = sizes[rows].prod(axis=1)
    return np.repeat(rows, [min(MOST_CROPS, max(1, math.ceil(area / size**2))) for area in areas.tolist()])


def _numbers_of_copies(rows: Rows) -> NDArray[np.int64]:
    """Return how often each row occurred before, int64 `[N]`."""
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], rows[order])
    numbers = np.empty(len(rows), np.int64)
    numbers[order] = np.arange(len(rows)) - first
    return numbers
