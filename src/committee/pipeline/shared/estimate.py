"""Estimates of the fits, hours and disk space of a recipe, from timed batches of each backbone."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch.nn import functional

from committee.base.devices import resolve as resolve_device
from committee.errors import CommitteeError
from committee.images.dataset import preview_dataset
from committee.images.view import canvas_size
from committee.models.measure import size_mb
from committee.models.member import Member
from committee.pipeline.shared.to_train import members_to_train, not_adopted, plans_of
from committee.recipe.members import MemberSpec
from committee.recipe.model import Recipe
from committee.store.layout import Store
from committee.training.crossfit.crossfit import foresee
from committee.training.crossfit.crossfits import division_of
from committee.training.fit.smoke import check_shape, first_logits
from committee.training.fit.start import starting_weights
from committee.training.plans._of_backbone import OfBackbone

MEGABYTE = 1e6
BATCHES = 2
"""Timed batches, after one for warm-up."""


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
    reason : str
        Why the backbone cannot be built; empty if it can.
    """

    member: str
    backbone: str
    fits: int = 0
    stored: int = 0
    hours: float | None = None
    disk_mb: float | None = None
    reason: str = ""


def estimate(recipe: Recipe, store: Store) -> dict[str, Any]:
    """Estimate the cost of training the members of a recipe.

    Returns
    -------
    dict
        `device`, `rows`, `classes`; `workers`, the number of parallel fits; `members`, a `Cost` each; and the
        totals `fits`, `hours` and `disk_mb`, which includes the decoded images. The hours of a member are the
        time of a batch of random images, times the number of batches; the total is divided by the workers.
        Published weights are downloaded; a member whose weights are not available has a `reason` instead.

    Raises
    ------
    UsageError, DataError, StoreError
        Training the recipe would raise the same error.
    """
    specs = not_adopted(members_to_train(recipe, store), store)
    device = resolve_device(recipe.device)
    side = canvas_size(max(spec.img_size for spec in specs), recipe.dataset.fit)
    dataset = preview_dataset(
        recipe.dataset, store, canvas_size=side, folds=recipe.training.folds, seed=recipe.seed
    )
    plans = plans_of(recipe, specs, dataset, store, device)
    division = division_of(plans, recipe.workers)
    with division.threads_set():
        costs = [_cost(plan) for plan in plans]
    rows = len(dataset.labels)
    cache = rows * dataset.channels * side**2 / MEGABYTE
    return {
        "device": device.type,
        "rows": rows,
        "classes": len(dataset.class_names),
        "workers": division.workers,
        "members": [asdict(cost) for cost in costs],
        "fits": sum(cost.fits - cost.stored for cost in costs),
        "hours": sum(cost.hours or 0 for cost in costs) / division.workers,
        "disk_mb": cache + sum(cost.disk_mb or 0 for cost in costs),
    }


def _cost(plan: OfBackbone) -> Cost:
    spec, dataset, cost = plan.spec, plan.dataset, Cost(plan.name, plan.spec.backbone)
    try:
        fits = foresee(plan, plan.store)
        cost = replace(cost, fits=len(fits), stored=sum(fits.values()))
        member = Member.build(
            spec.backbone,
            classes=dataset.class_names,
            size=spec.img_size,
            channels=dataset.channels,
            fit=dataset.fit,
            pretrained=starting_weights(spec),
            name=spec.name,
            trusted=True,
            seed=spec.seed,
        )
        seconds = _seconds_per_row(member.to(plan.device), spec, plan.device)
    except (CommitteeError, RuntimeError) as error:
        return replace(cost, reason=str(error).partition("\n")[0])
    train, held_out = len(dataset.rows("train")), len(dataset.rows("test")) + len(dataset.rows("val"))
    # Each of k folds trains on (k - 1)/k of the rows; prediction takes a third of the time of training.
    folds = sum(name != "refit" for name in fits)
    passes = (
        spec.training.epochs * (max(0, folds - 1) + ("refit" in fits)) + (1 + folds * held_out / train) / 3
    )
    share = 1 - cost.stored / cost.fits
    predictions = 4 * len(dataset.class_names) * (train + 2 * held_out) / MEGABYTE
    return replace(
        cost,
        hours=share * seconds * train * passes * plan.networks / 3600,
        disk_mb=share * (cost.fits * size_mb(member) * (plan.networks + len(plan.others)) + predictions),
    )


def _seconds_per_row(member: Member, spec: MemberSpec, device: torch.device) -> float:
    """Return the time of a training step on random images, divided by the batch size."""
    size = member.view.size
    images = torch.randn(spec.batch_size, member.view.channels, size, size, device=device)
    labels = torch.arange(spec.batch_size, device=device) % len(member.class_names)
    network = member.network.train()
    times = []
    for _ in range(BATCHES + 1):
        start = time.perf_counter()
        logits = first_logits(spec, network, images)
        check_shape(spec, logits, (spec.batch_size, len(member.class_names)))
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        loss.item()
        times.append(time.perf_counter() - start)
    return min(times[1:]) / spec.batch_size
