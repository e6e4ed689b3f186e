"""One network, trained once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from committee.images.dataset import Dataset
from committee.member import Member
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.store.manifest import hash_file
from committee.training.batches import Rows
from committee.training.choosing import judges
from committee.training.loop import train
from committee.training.plans._base import Plan
from committee.training.smoke import smoke
from committee.training.start import starting_weights

# These say which fits there are and which of them are used, not what one fit comes to.
_OTHER_FITS = {"folds", "inference", "pretrained"}


class Single(Plan):
    """A single fit of a backbone.

    Parameters
    ----------
    spec : MemberSpec
    dataset : Dataset
    store : Store
        Keeps the state of a fit between epochs.
    device : torch.device
    """

    def __init__(self, spec: MemberSpec, dataset: Dataset, store: Store, device: torch.device) -> None:
        super().__init__(dataset, store, device)
        self.spec = spec
        self.name, self.batch_size = spec.name, spec.batch_size
        self.folds, self.inference = spec.training.folds, spec.training.inference
        self.epochs = None if judges(spec.training, None) else spec.training.epochs

    def settings(self) -> Mapping[str, Any]:
        """Return backbone, start, sizes and every key of `training` that a fit follows."""
        spec, start = self.spec, starting_weights(self.spec)
        return {
            "plan": "single", "backbone": spec.backbone, "seed": spec.seed, "img_size": spec.img_size,
            "batch_size": spec.batch_size,
            "start": hash_file(Path(start)) if isinstance(start, str) else start,
            "training": spec.training.model_dump(mode="json", exclude=_OTHER_FITS),
        }  # fmt: skip

    def facts(self) -> Mapping[str, Any]:
        """Return what the recipe said of the member."""
        spec = self.spec
        return {
            "plan": "single", "backbone": spec.backbone, "seed": spec.seed, "img_size": spec.img_size,
            "pretrained": bool(starting_weights(spec)), "inference": self.inference,
        }  # fmt: skip

    def check(self) -> None:
        """Run one batch forward and backward."""
        smoke(self.spec, self.dataset, self.device)

    def run(self, rows: Rows, fold: str, *, made_from: str, epochs: int | None = None) -> Member:
        """Fit the backbone on `rows`."""
        return train(
            self.spec, self.dataset, rows, fold=fold, device=self.device, made_from=made_from, epochs=epochs,
            folder=self.store.resume(self.name, fold),
        )  # fmt: skip
