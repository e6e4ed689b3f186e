"""Choice of the augmentation of a member (`augment: auto`), by short fits on training rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from committee.errors import CommitteeError, UnfinishedError
from committee.images.dataset import Dataset
from committee.recipe.augment import Augment
from committee.recipe.members import MemberSpec, slug
from committee.recipe.training import Plan
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import PROTOCOL, digest, is_done
from committee.training.fit.batches import Rows, inner_slice
from committee.training.fit.predict import logits_of
from committee.training.fit.resume import forget
from committee.training.fit.train import train
from committee.training.plans.single import Single

CAUTIOUS = "mild"
"""The choice unless another preset is better by more than a standard error."""
FILE = "losses.json"
FOLD = "fold_0"
JUDGED = 0.2
"""Share of the rows on which the presets are compared."""
log = logging.getLogger(__name__)


class AugmentationTrial:
    """Compares the presets of the augmentation for one member.

    Each preset is trained for a quarter of the epochs, at least three, on the training rows of the first fold
    without a slice of them, on which the log-loss decides. Neither the held-out fold nor the val and test
    splits are used. Members that differ in name, seed or plan alone share the choice, which the store keeps.

    Parameters
    ----------
    spec : MemberSpec
    dataset : Dataset
    store : Store
    device : torch.device

    Attributes
    ----------
    epochs : int
        Epochs of a fit.
    fingerprint : str
        Digest of everything that the choice depends on.

    Examples
    --------
    >>> from committee.training.plans._example import example_arguments
    >>> trial = AugmentationTrial(**example_arguments("training.augment=auto"))
    >>> trial.epochs, trial.known() is None
    (5, True)
    """

    def __init__(self, spec: MemberSpec, dataset: Dataset, store: Store, device: torch.device) -> None:
        self.dataset, self.store, self.device = dataset, store, device
        self.augment = spec.training.augment
        self.epochs = min(spec.training.epochs, max(3, spec.training.epochs // 4))
        self.spec = self._spec(spec)
        self.rows = _rows(spec, dataset)
        self.fingerprint = self._fingerprint()

    @property
    def passes(self) -> float:
        """Passes through all training rows that the fits take together."""
        share = len(self.rows) / len(self.dataset.rows("train"))
        return len(self.augment.candidates()) * self.epochs * (1 - JUDGED) * share

    def known(self) -> Augment | None:
        """Return the preset that was chosen before, or None."""
        folder = self._folder()
        if not is_done(folder, self.fingerprint):
            return None
        losses = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return self.augment.candidates()[_best({name: np.array(each) for name, each in losses.items()})]

    def choose(self) -> Augment:
        """Return the best preset, after fits of those that the store does not have.

        Raises
        ------
        StoreError
            The store cannot be written.
        UnfinishedError
            The time limit of the run leaves no time for a fit. Its state is stored.
        KeyboardInterrupt
            A signal asked the process to end. The state of the fit is stored.
        """
        if (known := self.known()) is not None:
            return known
        kept, judged = self._slices()
        if not len(judged):
            log.warning("%s: too few rows to compare augmentations; %s is used", self.spec.backbone, CAUTIOUS)
            return self.augment.candidates()[CAUTIOUS]
        losses = {name: self._losses(name, kept, judged) for name in self.augment.candidates()}
        with commit(self._folder(), kind="augmentation", fingerprint=self.fingerprint) as new:
            (new / FILE).write_text(json.dumps({k: v.tolist() for k, v in losses.items()}), encoding="utf-8")
        for name in losses:
            forget(self._resume(name))
        best = _best(losses)
        said = ", ".join(f"{name} {each.mean():.3f}" for name, each in losses.items())
        text = "%s: augmentation %s, by the log-loss on %d training rows after %d epochs (%s)"
        log.info(text, self.spec.backbone, best, len(judged), self.epochs, said)
        return self.augment.candidates()[best]

    def _spec(self, spec: MemberSpec) -> MemberSpec:
        """Return the spec of the fits, which is the same for all seeds and plans of a backbone."""
        update = {
            "epochs": self.epochs,
            "early_stop": None,
            "best_checkpoint": False,
            "plan": Plan(),
            "augment": self.augment,
        }
        training = spec.training.model_copy(update=update)
        return replace(spec, name=f"{slug(spec.backbone)}_augment", seed=0, training=training)

    def _fingerprint(self) -> str:
        data = self.dataset
        groups = None if data.groups is None else data.groups[self.rows]
        return digest(
            {
                "protocol": PROTOCOL,
                "settings": Single(self.spec, data, self.store, self.device).settings(),
                "candidates": {name: each.settings() for name, each in self.augment.candidates().items()},
                "data": data.fingerprint,
                "classes": data.class_names,
                "rows": [data.sample_ids[self.rows], data.labels[self.rows], groups],
            }
        )

    def _folder(self) -> Path:
        return self.store.cache(f"augment-{self.fingerprint[:16]}")

    def _resume(self, name: str) -> Path:
        return self.store.cache(f"augment-{self.fingerprint[:16]}-{name}.resume")

    def _slices(self) -> tuple[Rows, Rows]:
        """Return the rows of the fits, and those on which they are compared."""
        data = self.dataset
        groups = None if data.groups is None else data.groups[self.rows]
        kept, judged = inner_slice(data.strata[self.rows], groups, JUDGED, seed=0)
        return self.rows[kept], self.rows[judged]

    def _losses(self, name: str, kept: Rows, judged: Rows) -> NDArray[np.float64]:
        """Return the loss of each judged row after a fit with a preset; infinity if the fit fails."""
        augment = self.augment.candidates()[name]
        training = self.spec.training.model_copy(update={"augment": augment})
        spec = replace(self.spec, training=training)
        try:
            member = train(
                spec,
                self.dataset,
                kept,
                fold=FOLD,
                device=self.device,
                folder=self._resume(name),
                fingerprint=digest([self.fingerprint, name]),
            ).member
            size = spec.batch_size
            logits = logits_of(member, self.dataset, judged, batch_size=size, device=self.device)
        except UnfinishedError:
            raise
        except CommitteeError as error:
            log.warning("%s: the augmentation %s cannot be compared: %s", spec.backbone, name, error)
            return np.full(len(judged), 1e9)
        return self.dataset.task.row_losses(logits, self.dataset.learned(judged))


def _rows(spec: MemberSpec, dataset: Dataset) -> Rows:
    """Return the training rows of the first fold; without folds, all training rows."""
    rows = dataset.rows("train")
    return rows[dataset.folds[rows] != 0] if spec.training.folds else rows


def _best(losses: Mapping[str, NDArray[np.float64]]) -> str:
    """Return the preset with the lowest mean loss, if it is lower by more than its paired standard error."""
    best = min(losses, key=lambda name: float(losses[name].mean()))
    gain = losses[CAUTIOUS] - losses[best]
    return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else CAUTIOUS
