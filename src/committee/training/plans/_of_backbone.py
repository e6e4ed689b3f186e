"""What the plans of one backbone share: the member of a recipe, and fits of its network."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from committee.base.randomness import derive
from committee.images.dataset import Dataset
from committee.models.member import Member
from committee.recipe.members import MemberSpec
from committee.recipe.training import Training
from committee.store.layout import Store
from committee.store.manifest import digest, hash_file
from committee.training.fit.batches import Rows
from committee.training.fit.early_stopping import judges
from committee.training.fit.job import Extra, Trained
from committee.training.fit.loop import train
from committee.training.fit.smoke import smoke
from committee.training.fit.start import start_seed, starting_weights
from committee.training.fit.weight_trackers import Weights
from committee.training.plans.base import Plan

# These say which fits there are and which of them are used, not what one fit comes to.
_OTHER_FITS = {"folds", "inference", "pretrained", "plan"}


class OfBackbone(Plan):
    """A plan that trains the backbone of a member of a recipe, once or several times.

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
        self.of: list[str] = []

    @property
    def key(self) -> str:
        """Name of the plan in its family."""
        return type(self).__module__.rpartition(".")[2]

    def options(self) -> dict[str, Any]:
        """Return the plan's own options, as plain JSON values."""
        return {}

    def settings(self) -> Mapping[str, Any]:
        """Return backbone, start, sizes and every key of `training` that a fit follows."""
        spec = self.spec
        return {
            "plan": self.key,
            **self.options(),
            "backbone": spec.backbone,
            "seed": spec.seed,
            "img_size": spec.img_size,
            "batch_size": spec.batch_size,
            "start": _start(spec),
            "training": spec.training.model_dump(mode="json", exclude=_OTHER_FITS),
        }

    def facts(self) -> Mapping[str, Any]:
        """Return what the recipe said of the member."""
        spec = self.spec
        of = {"of": self.of} if self.of else {}
        return {
            "plan": self.key,
            "backbone": spec.backbone,
            "seed": spec.seed,
            "img_size": spec.img_size,
            "pretrained": bool(starting_weights(spec)),
            "inference": self.inference,
            **of,
        }

    def check(self) -> None:
        """Run one batch forward and backward."""
        smoke(self.spec, self.dataset, self.device)

    def fit(
        self,
        rows: Rows,
        fold: str,
        fingerprint: str,
        epochs: int | None = None,
        *,
        number: int | None = None,
        extra: Extra | None = None,
    ) -> Trained:
        """Train one network; of several, the one of a `number`, which starts and is shown images as no other.

        A network that is done is not trained again when a later one was interrupted: its kept state has no
        epoch left to do.
        """
        spec, folder = self.spec, self.store.resume(self.name, fold)
        if number is not None:
            spec = replace(spec, name=f"{self.name}_{number}", seed=derive(spec.seed, "network", number))
            folder = folder / f"network_{number}.resume"
        trained = train(
            spec,
            self.dataset,
            rows,
            fold=fold,
            device=self.device,
            folder=folder,
            epochs=epochs,
            extra=extra,
            fingerprint=fingerprint if number is None else digest([fingerprint, number]),
        )
        trained.member.provenance |= {"start": start_of(spec, fold)}
        return trained

    def fixed(self, **update: Any) -> MemberSpec:
        """Return the spec with a fixed number of epochs, and with other settings of `training`."""
        settings: dict[str, Any] = {"early_stop": None, "best_checkpoint": False, **update}
        training: Training = self.spec.training.model_copy(update=settings)
        return replace(self.spec, training=training)


def with_weights(member: Member, weights: Weights, name: str) -> Member:
    """Return a copy of a member with other weights, under another name."""
    twin = copy.deepcopy(member)
    twin.network.load_state_dict(weights)
    twin.name = name
    return twin.to("cpu").eval()


def start_of(spec: MemberSpec, fold: str) -> str:
    """Return a digest of the weights that a fit starts from: equal ones share a start."""
    return digest([spec.backbone, spec.img_size, _start(spec), start_seed(spec, fold)])


def _start(spec: MemberSpec) -> bool | str:
    start = starting_weights(spec)
    return hash_file(Path(start)) if isinstance(start, str) else start
