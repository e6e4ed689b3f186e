"""Images on which a student learns from its teacher: training rows, mixtures of two, and unlabeled images."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betaincinv
from torch import Tensor

from committee.base.randomness import derive, sample_keys, uniform
from committee.images.augment import augment
from committee.images.dataset import Dataset
from committee.images.view import View
from committee.recipe.members import MemberSpec
from committee.training.fit.batches import Rows
from committee.training.fit.crops import Crops


class TransferSet:
    """The images of a fit of a student, with the random draws that teacher and student share.

    An item is a row of the data set, or the number of its rows plus the row of an unlabeled image. All draws
    depend on the seed, the view and the sample, not on the batch, so that a view of an image is the same
    whenever it is drawn.

    Parameters
    ----------
    dataset : Dataset
    rows : int64 `[N]`
        Rows of the data set that the fit trains on.
    spec : MemberSpec
        Its name, seed and augmentation decide the crops.
    unlabeled : Dataset, optional
        Images without labels.
    mixup : float
        Parameter of the beta distribution of the shares of two mixed images (Zhang et al. 2018); 0 mixes
        none.
    views : int, optional
        Number of views of an image, which are used in turn; None draws another view in each epoch.
    groups : int64 `[items]`, optional
        Only images with the same number are mixed.
    """

    def __init__(
        self,
        dataset: Dataset,
        rows: Rows,
        spec: MemberSpec,
        *,
        unlabeled: Dataset | None = None,
        mixup: float = 0.0,
        views: int | None = None,
        groups: Rows | None = None,
    ) -> None:
        self.dataset, self.rows, self.spec, self.unlabeled = dataset, rows, spec, unlabeled
        self.mixup, self.views, self.groups = mixup, views, groups
        self.first = len(dataset.labels)
        ids = [dataset.sample_ids, *([] if unlabeled is None else [unlabeled.sample_ids])]
        self.keys = np.concatenate([sample_keys(each) for each in ids])
        self.extra = np.arange(self.first, len(self.keys))
        self.items = np.concatenate([rows, self.extra])
        none = np.full((len(self.extra), *dataset.labels.shape[1:]), dataset.target_type.missing)
        self.labels = np.concatenate([dataset.labels, none.astype(dataset.labels.dtype)])
        self.amounts = spec.training.augment.amounts()
        self._partners = lru_cache(2)(self._draw_partners)

    @property
    def rate(self) -> float:
        """Number of unlabeled images in an epoch, divided by that of labeled ones; at most 1."""
        return min(1.0, len(self.extra) / len(self.rows))

    def view(self, epoch: int) -> int:
        """Return the number of the view of an epoch, which is counted from 1."""
        return epoch if self.views is None else (epoch - 1) % self.views

    def with_unlabeled(self, positions: Rows, epoch: int) -> tuple[Rows, Rows]:
        """Return the items of a batch and of the unlabeled images that go with it in an epoch.

        Parameters
        ----------
        positions : int64 `[B]`
            Positions in `rows`.
        epoch : int

        Returns
        -------
        items : int64 `[B + U]`
            The rows at these positions, then unlabeled images.
        owners : int64 `[B + U]`
            The index in the batch of the position that an item goes with.
        """
        if not len(self.extra):
            return self.rows[positions], np.arange(len(positions))
        generator = np.random.default_rng(derive(self.spec.seed, self.spec.name, "unlabeled", epoch))
        order = generator.permutation(self.extra)[: len(self.rows)]
        place = generator.permutation(len(self.rows))[positions]
        mine = np.flatnonzero(place < len(order))
        items = np.concatenate([self.rows[positions], order[place[mine]]])
        return items, np.concatenate([np.arange(len(positions)), mine])

    def mixed(self, items: Rows, view: int) -> tuple[Rows, NDArray[np.float32]] | None:
        """Return the items with which items are mixed, and the share of the first of two; None without."""
        if not self.mixup:
            return None
        drawn = uniform(self._seed("mixup", view), self.keys[items], 1)[:, 0]
        return self._partners(view)[items], betaincinv(self.mixup, self.mixup, drawn).astype(np.float32)

    def crops(self, items: Rows, view: int, largest: View, device: torch.device) -> Crops:
        """Return the crops of items in a view; those of mixed images are mixed."""
        mixed = self.mixed(items, view)
        source = self._canvas(items, largest).to(device, non_blocking=True)

        def cut(reader: View) -> Tensor:
            is_source = reader.canvas == largest.canvas
            canvas = source if is_source else self._canvas(items, reader).to(device, non_blocking=True)
            own = self._crop(canvas, items, view, reader)
            if mixed is None:
                return own
            partners, shares = mixed[0], torch.from_numpy(mixed[1]).to(device)[:, None, None, None]
            other = self._crop(self._canvas(partners, reader).to(device), partners, view, reader)
            return torch.lerp(other.float(), own.float(), shares)

        return Crops(cut, source, largest)

    def _crop(self, canvas: Tensor, items: Rows, view: int, reader: View) -> Tensor:
        """Return augmented crops in 0..255, before the normalization of a network."""
        raw = View(reader.size, 0.0, 1 / 255, reader.fit, reader.channels).to(canvas.device)
        return augment(canvas, self.keys[items], raw, self.amounts, self._seed("augment", view))

    def _canvas(self, items: Rows, reader: View) -> Tensor:
        """Return the canvases of items, uint8 `[B, c, S, S]`, that a network reads."""
        if self.unlabeled is None:
            return self.dataset.images(items, reader)
        own = items < self.first
        parts = [
            self.dataset.images(items[own], reader),
            self.unlabeled.images(items[~own] - self.first, reader),
        ]
        order = np.concatenate([np.flatnonzero(own), np.flatnonzero(~own)])
        return torch.cat(parts)[np.argsort(order)]

    def _seed(self, purpose: str, view: int) -> int:
        return derive(self.spec.seed, self.spec.name, purpose, view)

    def _draw_partners(self, view: int) -> Rows:
        """Return the partner of each item, as an array over all item numbers."""
        generator = np.random.default_rng(self._seed("partners", view))
        groups = np.zeros(len(self.keys)) if self.groups is None else self.groups
        one, other = (
            self.items[np.lexsort((generator.random(len(self.items)), groups[self.items]))] for _ in range(2)
        )
        partners = np.zeros(len(self.keys), np.int64)
        partners[one] = other
        return partners
