"""How the fit of a student is taught: by whom, on what, and with which loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from committee.base.progress import track
from committee.images.dataset import Dataset
from committee.recipe.members import MemberSpec
from committee.store.commit import commit
from committee.store.disk import require_room
from committee.store.manifest import digest, is_done
from committee.store.mapped import create_array
from committee.training.distillation_losses.base import LOSSES, DistillationLoss
from committee.training.fit.batches import Rows
from committee.training.fit.memory import halving
from committee.training.fit.teacher import Teacher, Teachers
from committee.training.fit.teacher_engine import EAGER
from committee.training.fit.transfer import TransferSet

FILE = "targets.npy"


@dataclass(frozen=True, eq=False)
class Teaching:
    """How the fit of a student is taught; it can be pickled.

    Attributes
    ----------
    teacher : Teacher
    fits : sequence of str
        The fits whose networks teach: that of the student, or all folds, where each image is taught by the
        networks of its fold.
    loss : str
        An entry of the losses.
    options : mapping
        Its options.
    alpha : float
        Weight of the loss; the rest is that of the loss of the labels.
    mixup : float
    views : int or None
        Number of views whose targets are stored; None runs the teacher in each step.
    unlabeled : Dataset or None
    targets : Path or None
        Folder of the stored targets.
    engine : str
        The engine that runs the teacher.
    """

    teacher: Teacher
    fits: Sequence[str]
    loss: str
    options: Mapping[str, Any]
    alpha: float
    mixup: float = 0.0
    views: int | None = None
    unlabeled: Dataset | None = None
    targets: Path | None = None
    engine: str = EAGER

    def make_loss(self) -> DistillationLoss:
        """Return the loss between the outputs of student and teacher."""
        return LOSSES.make(self.loss, **self.options)

    def transfer_set(self, dataset: Dataset, rows: Rows, spec: MemberSpec) -> TransferSet:
        """Return the images of a fit on some rows; only images with the same teacher are mixed."""
        return TransferSet(
            dataset,
            rows,
            spec,
            unlabeled=self.unlabeled,
            mixup=self.mixup,
            views=self.views,
            groups=self.numbers(dataset),
        )

    def numbers(self, dataset: Dataset) -> Rows:
        """Return the number of the teacher of each row, and of each unlabeled image, int64."""
        extra = 0 if self.unlabeled is None else len(self.unlabeled.labels)
        numbers = np.zeros(len(dataset.labels) + extra, np.int64)
        if len(self.fits) > 1:
            folds = [int(fit.removeprefix("fold_")) for fit in self.fits]
            numbers[: len(dataset.labels)] = np.searchsorted(folds, dataset.folds).clip(0, len(folds) - 1)
            numbers[len(dataset.labels) :] = np.arange(extra) % len(folds)
        return numbers

    def teachers(self, dataset: Dataset, device: torch.device, form: str = "fp32") -> Teachers:
        """Return the teachers of the fit, on a device."""
        modules = [self.teacher.module(fit, dataset.class_names) for fit in self.fits]
        return Teachers(modules, device, form, self.engine)


class Targets:
    """Outputs of the teachers for a few views of each image, computed once and stored.

    Parameters
    ----------
    teaching : Teaching
        Its `targets` is the folder.
    images : TransferSet
    """

    def __init__(self, teaching: Teaching, images: TransferSet) -> None:
        assert teaching.targets is not None
        self.teaching, self.images, self.folder = teaching, images, teaching.targets

    @cached_property
    def _places(self) -> Rows:
        """Position of each item in the files."""
        places = np.zeros(len(self.images.keys), np.int64)
        places[self.images.items] = np.arange(len(self.images.items))
        return places

    def of(self, items: Rows, view: int) -> torch.Tensor:
        """Return the stored logits of items in a view, float32 `[B, C]`."""
        mapped = np.load(self._view(view) / FILE, mmap_mode="r", allow_pickle=False)
        return torch.from_numpy(mapped[self._places[items]])

    def make(self, fingerprint: str, epochs: int, batch_size: int, device: torch.device) -> None:
        """Compute and store the outputs of the views that a fit uses; views that are stored are kept.

        Raises
        ------
        StoreError
            The disk is full.
        TrainingError
            There is no memory for a single image.
        """
        views = range(min(epochs, self.images.views or 0))
        missing = [view for view in views if not is_done(self._view(view), digest([fingerprint, view]))]
        if not missing:
            return
        images, classes = self.images, len(self.images.dataset.class_names)
        require_room(self.folder, 4 * len(missing) * len(images.items) * classes)
        teachers = self.teaching.teachers(images.dataset, device)
        for view in track(missing, what="views of the teacher", name=str):
            with commit(self._view(view), kind="targets", fingerprint=digest([fingerprint, view])) as new:
                array = create_array(new / FILE, (len(images.items), classes), np.float32)
                start = 0
                while start < len(images.items):

                    def some(size: int, start: int = start, view: int = view) -> np.ndarray[Any, Any]:
                        items = images.items[start : start + size]
                        crops = images.crops(items, view, teachers.largest, device)
                        assert images.groups is not None
                        return teachers(crops, images.groups[items]).cpu().numpy()

                    left = min(batch_size, len(images.items) - start)
                    part, batch_size = halving(some, left, self.teaching.teacher.name)
                    array[start : start + len(part)] = part
                    start += len(part)
                array.flush()
                # Windows does not rename a folder that contains a mapped file.
                del array

    def _view(self, view: int) -> Path:
        return self.folder / f"view_{view}"
