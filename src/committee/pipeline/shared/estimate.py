"""What a recipe would cost: fits, hours and disk, from timed batches of each backbone. Nothing is stored."""

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
"""Timed batches, after one that is not."""


@dataclass(frozen=True)
class Cost:
    """What the fits of one member would cost.

    Attributes
    ----------
    fits : int
        Folds and the refit.
    stored : int
        How many of those the store has, undamaged and made from the same data and settings.
    hours, disk_mb : float or None
        Of those not stored, one after the other; None when the backbone cannot be built, for the `reason`.
    """

    member: str
    backbone: str
    fits: int = 0
    stored: int = 0
    hours: float | None = None
    disk_mb: float | None = None
    reason: str = ""


def estimate(recipe: Recipe, store: Store) -> dict[str, Any]:
    """Return what `train` would do with a recipe.

    Returns
    -------
    dict
        `device`, `rows`, `classes`; `workers`, the fits at once; `members`, a `Cost` each; the totals `fits`,
        `hours` and `disk_mb`, the decoded images included. Hours are those of a batch of random images, times
        the batches; in total, divided by the workers. Published weights are fetched, so that a member whose
        weights are not available has a reason instead.

    Raises
    ------
    UsageError, DataError, StoreError
        As `train` would.
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
        seconds = _seconds_a_row(member.to(plan.device), spec, plan.device)
    except (CommitteeError, RuntimeError) as error:
        return replace(cost, reason=str(error).partition("\n")[0])
    train, apart = len(dataset.rows("train")), len(dataset.rows("test")) + len(dataset.rows("val"))
    # A fold trains on (k - 1)/k of the rows, so all folds on k - 1 times them; prediction costs a third.
    folds = sum(name != "refit" for name in fits)
    passes = spec.training.epochs * (max(0, folds - 1) + ("refit" in fits)) + (1 + folds * apart / train) / 3
    share = 1 - cost.stored / cost.fits
    predictions = 4 * len(dataset.class_names) * (train + 2 * apart) / MEGABYTE
    return replace(
        cost,
        hours=share * seconds * train * passes * plan.networks / 3600,
        disk_mb=share * (cost.fits * size_mb(member) * (plan.networks + len(plan.others)) + predictions),
    )


def _seconds_a_row(member: Member, spec: MemberSpec, device: torch.device) -> float:
    """Time forward and backward of a batch of random images."""
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
