"""Estimates of the fits, hours and disk space of a recipe, from a timed pass through each backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from committee.base.devices import resolve as resolve_device
from committee.errors import CommitteeError
from committee.images.dataset import Dataset, preview_dataset
from committee.images.view import canvas_size
from committee.models.measure import size_mb
from committee.pipeline.shared.for_task import check_task
from committee.pipeline.shared.step_time import StepTimer
from committee.pipeline.shared.to_train import (
    img_sizes,
    members_to_train,
    not_adopted,
    plans_of,
    with_augmentation,
)
from committee.recipe.members import MemberSpec
from committee.recipe.model import Recipe
from committee.store.layout import Store
from committee.training.crossfit.augmentation import AugmentationTrial
from committee.training.crossfit.crossfit import CrossFit, fit_names, foresee
from committee.training.crossfit.crossfits import division_of
from committee.training.crossfit.lockstep import choose
from committee.training.crossfit.map_files import are_stored, bytes_of
from committee.training.fit.input_errors import as_training_error
from committee.training.fit.map_loader import crops_of_epoch
from committee.training.fit.smoke import check_shape
from committee.training.fit.start import starting_weights, untrained
from committee.training.plans.shared.of_backbone import OfBackbone

MEGABYTE = 1e6


@dataclass(frozen=True)
class Cost:
    """Estimated cost of the fits of one member.

    Attributes
    ----------
    member, backbone : str
    fits : int
        Number of fits: the folds and the refit.
    stored : int
        Number of fits in the store that are undamaged and have the same data and settings.
    hours, disk_mb : float or None
        Time and disk space of the other fits, one after the other; None if the backbone cannot be built.
    source : str
        What the hours follow from: the number of images on which the backbone was timed, or its FLOPs; empty
        if nothing is left to train.
    reason : str
        Why the backbone cannot be built; empty if it can.
    """

    member: str
    backbone: str
    fits: int = 0
    stored: int = 0
    hours: float | None = None
    disk_mb: float | None = None
    source: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Network:
    """Size and time of a backbone.

    Attributes
    ----------
    seconds : float
        Time of a training step for one image.
    source : str
        What the time follows from.
    size_mb : float
        Size of the weights.
    """

    seconds: float
    source: str
    size_mb: float


def estimate(recipe: Recipe, store: Store) -> dict[str, Any]:
    """Estimate the cost of training the members of a recipe.

    Returns
    -------
    dict
        `device`, `rows`, `classes`; `workers`, the number of parallel fits; `executor`, where they are made;
        `together`, which fits make their steps as one (see `choose`); `members`, a `Cost` each; and the
        totals `fits`, `hours` and `disk_mb`, which includes the decoded images. The hours of a member follow
        from a forward pass of a few random images (see `StepTimer`); the total is divided by the workers.
        Members that differ in their seeds or plans alone are timed once, and those without a missing fit not
        at all. Published weights are downloaded; a member whose weights are not available has a `reason`
        instead.

    Raises
    ------
    UsageError, DataError, StoreError
        Training the recipe would raise the same error.
    """
    specs = not_adopted(members_to_train(recipe, store), store)
    device = resolve_device(recipe.device)
    dataset = preview_dataset(recipe.dataset, store, folds=recipe.training.folds, seed=recipe.seed)
    check_task(recipe, dataset.target_type)
    specs = with_augmentation(specs, dataset, store, device, fit=False)
    plans = plans_of(recipe, specs, dataset, store, device)
    executor = recipe.make_executor()
    division = division_of(plans, executor)
    with division.threads_set():
        together = choose([CrossFit(plan, store) for plan in plans], division.workers)
        networks = Networks(StepTimer(device), dataset)
        costs = [_cost(plan, networks) for plan in plans]
    rows = len(dataset.labels)
    if dataset.sizes is None:
        pixels = rows * sum(canvas_size(size, dataset.fit) ** 2 for size in img_sizes(recipe, specs))
    else:
        pixels = int(dataset.sizes.prod(axis=1).sum())
    cache, test = dataset.channels * pixels / MEGABYTE, dataset.rows("test")
    return {
        "device": device.type,
        "rows": rows,
        "classes": len(dataset.class_names),
        "outputs": _outputs(dataset),
        "task": dataset.task.key,
        "workers": division.workers,
        "executor": executor.describe(),
        "together": together,
        "members": [asdict(cost) for cost in costs],
        "fits": sum(cost.fits - cost.stored for cost in costs),
        "maps_mb": None if dataset.sizes is None else bytes_of(dataset, test) / MEGABYTE,
        "maps_stored": are_stored(dataset, test),
        "hours": sum(cost.hours or 0 for cost in costs) / division.workers,
        "disk_mb": cache + sum(cost.disk_mb or 0 for cost in costs),
    }


def _outputs(dataset: Dataset) -> str:
    """Return the number of classes or targets in words."""
    found, kind = len(dataset.class_names), dataset.target_type
    return f"{found} {kind.output if found == 1 else kind.outputs}"


class Networks:
    """Builds and times each backbone once for each size of images and batches.

    Parameters
    ----------
    timer : StepTimer
    dataset : Dataset
        Its classes and channels decide the first and the last layer.
    """

    def __init__(self, timer: StepTimer, dataset: Dataset) -> None:
        self.timer, self.dataset = timer, dataset
        self.tried = set[str]()
        self._known: dict[tuple[object, ...], Network | CommitteeError | RuntimeError] = {}

    def of(self, spec: MemberSpec) -> Network:
        """Return size and time of the network of a member.

        Raises
        ------
        CommitteeError, RuntimeError
            The backbone cannot be built, or does not support images of this size.
        """
        key = (spec.backbone, spec.img_size, spec.batch_size, starting_weights(spec))
        if key not in self._known:
            try:
                self._known[key] = self._measure(spec)
            except (CommitteeError, RuntimeError) as error:
                self._known[key] = error
        if isinstance(found := self._known[key], Exception):
            raise found
        return found

    def trial_passes(self, plan: OfBackbone) -> float:
        """Return the passes through the rows that choose the augmentation; none if they count already."""
        trial = AugmentationTrial(plan.spec, plan.dataset, plan.store, plan.device)
        passes = 0.0 if trial.fingerprint in self.tried else trial.passes
        self.tried.add(trial.fingerprint)
        return passes

    def _measure(self, spec: MemberSpec) -> Network:
        classes, size, channels = self.dataset.class_names, spec.img_size, self.dataset.channels
        member = untrained(spec, self.dataset, pretrained=starting_weights(spec), seed=spec.seed)
        network = member.to(self.timer.device).network.train()
        sides = (size, size) if self.dataset.target_type.dense else ()
        with as_training_error(spec.backbone, size):
            seconds, source = self.timer.measure(
                network,
                (channels, size, size),
                spec.batch_size,
                lambda logits: check_shape(spec, network.output, logits, (len(logits), len(classes), *sides)),
            )
        return Network(seconds, source, size_mb(member))


def _inputs(plan: OfBackbone, splits: Sequence[Literal["train", "val", "test"]]) -> int:
    """Return the number of images of splits, or of crops that cover them: the inputs of an epoch."""
    dataset, spec = plan.dataset, plan.spec
    rows = np.concatenate([dataset.rows(split) for split in splits])
    if dataset.sizes is None:
        return len(rows)
    return len(crops_of_epoch(rows, dataset.sizes, spec.img_size, spec.training.crops_per_image))


def _maps_bytes(plan: OfBackbone) -> int:
    """Return the size of the outputs for all pixels that the fits of a plan store; 0 if they store none."""
    dataset, fits = plan.dataset, len(fit_names(plan))
    others, train = np.concatenate([dataset.rows("test"), dataset.rows("val")]), dataset.rows("train")
    held_out = bytes_of(dataset, train) if plan.folds and are_stored(dataset, train) else 0
    return held_out + fits * (bytes_of(dataset, others) if are_stored(dataset, others) else 0)


def _cost(plan: OfBackbone, networks: Networks) -> Cost:
    spec, dataset, cost = plan.spec, plan.dataset, Cost(plan.name, plan.spec.backbone)
    try:
        fits = foresee(plan, plan.store)
        cost = replace(cost, fits=len(fits), stored=sum(fits.values()))
        if cost.stored == cost.fits:
            return replace(cost, hours=0.0, disk_mb=0.0)
        network = networks.of(spec)
    except (CommitteeError, RuntimeError) as error:
        return replace(cost, reason=str(error).partition("\n")[0])
    train, held_out = (_inputs(plan, splits) for splits in (("train",), ("test", "val")))
    # Each of k folds trains on (k - 1)/k of the rows; prediction takes a third of the time of training.
    folds = sum(name != "refit" for name in fits)
    passes = (
        spec.training.epochs * (max(0, folds - 1) + ("refit" in fits)) + (1 + folds * held_out / train) / 3
    )
    if spec.training.augment.preset == "auto":
        passes += networks.trial_passes(plan)
    share = 1 - cost.stored / cost.fits
    predictions = 4 * len(dataset.class_names) * (train + 2 * held_out) / MEGABYTE
    predictions += _maps_bytes(plan) / MEGABYTE
    return replace(
        cost,
        hours=share * network.seconds * train * passes * plan.networks / 3600,
        disk_mb=share * (cost.fits * network.size_mb * (plan.networks + len(plan.others)) + predictions),
        source=network.source,
    )
