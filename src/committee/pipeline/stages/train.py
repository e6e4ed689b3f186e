"""The first stage: every backbone of a recipe becomes a member with out-of-fold predictions."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from committee.backbones._weights import require_file
from committee.backbones.build import resolve as resolve_backbone
from committee.base.devices import resolve as resolve_device
from committee.errors import RecipeError
from committee.images.dataset import Dataset, open_dataset
from committee.images.view import canvas_size
from committee.pipeline.shared.disk_space import warn_of_room
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import failure_file, is_adopted
from committee.recipe.members import MemberSpec
from committee.recipe.model import Recipe
from committee.recipe.training import Plan as PlanSection
from committee.store.commit import write_json
from committee.store.layout import Store
from committee.training.crossfit.crossfits import crossfit
from committee.training.plans._of_backbone import OfBackbone
from committee.training.plans.base import PLANS, Plan

log = logging.getLogger(__name__)


def train(recipe: Recipe, store: Store) -> Outcome:
    """Train the members of a recipe: smoke check, cross-fit, refit, predictions of the rows kept apart.

    What is done already, from the same data and settings, is left as it is. A backbone that fails is named,
    with the reason, in the outcome and in the store; the others go on.

    Raises
    ------
    UsageError
        Something in the recipe cannot be: an unknown backbone, an absent device, no backbone at all.
    DataError
        The data set cannot be read.
    StoreError
        The store is another data set's, locked, or not writable.
    """
    specs = not_adopted(members_to_train(recipe, store), store)
    device = resolve_device(recipe.device)
    outcome = Outcome(unbuilt=recipe.unbuilt())
    with store.hold(), settled_memory():
        dataset = open_for(recipe, specs, store)
        outcome.quarantined = dict(dataset.quarantined)
        plans = plans_of(recipe, specs, dataset, store, device)
        warn_of_room(plans, store)
        for plan, error in crossfit(plans, store, recipe.workers):
            take(outcome, plan, error, store)
    return outcome


def take(outcome: Outcome, plan: Plan, error: Exception | None, store: Store) -> None:
    """Keep what a plan made, or why it could not, in the outcome and in the store."""
    for name in (plan.name, *plan.others) if error is None else (plan.name,):
        outcome.take(name, error)
    remember(store, plan.name, outcome.failed.get(plan.name))


def plans_of(
    recipe: Recipe, specs: Sequence[MemberSpec], dataset: Dataset, store: Store, device: torch.device
) -> list[OfBackbone]:
    """Return the plan of each member, and of its snapshots where the recipe asks for them.

    Raises
    ------
    UsageError
        A plan has an option that cannot be.
    RecipeError
        Two plans would make members of one name.
    """
    plans = [_plan(spec, dataset, store, device) for spec in specs]
    section = recipe.runs.snapshot_ensemble
    if section is not None and section.enable:
        cycles = {"n_snapshots": section.n_snapshots, "epochs_per_cycle": section.epochs_per_cycle}
        for spec in specs:
            snapshots = PlanSection.model_validate({"name": "snapshot", **cycles})
            training = spec.training.model_copy(update={"plan": snapshots})
            renamed = replace(spec, name=f"snapshot_{spec.name}", training=training)
            plans.append(_plan(renamed, dataset, store, device))
            plans[-1].of = [spec.name]
    _check_names(plans)
    return plans


def _plan(spec: MemberSpec, dataset: Dataset, store: Store, device: torch.device) -> OfBackbone:
    choice = spec.training.plan
    made = PLANS.make(
        str(choice.name), spec=spec, dataset=dataset, store=store, device=device, **choice.options
    )
    return cast("OfBackbone", made)


def _check_names(plans: Sequence[Plan]) -> None:
    seen: dict[str, str] = {}
    for plan in plans:
        for name in (plan.name, *plan.others):
            other = seen.setdefault(name.lower(), plan.name)
            if other != plan.name:
                raise RecipeError(
                    "models",
                    expected="a name of its own for every member",
                    got=f"'{name}' of both {other} and {plan.name}",
                    todo="Give one another name: as.",
                )


def members_to_train(recipe: Recipe, store: Store | None = None) -> list[MemberSpec]:
    """Return the members that a recipe names, each with a backbone, and a file of weights, that exists.

    Those that the store adopted need none.

    Raises
    ------
    RecipeError
        It names none.
    UsageError
        There is no such file.
    UnknownNameError
        A backbone is unknown; the sentence has the nearest name.
    """
    specs = list(recipe.members())
    if not specs:
        raise RecipeError(
            "backbones.include",
            expected="at least one backbone",
            got="none",
            todo="Name one: --set backbones.include=[timm:resnet18]",
        )
    for spec in specs:
        if store is not None and is_adopted(store, spec.name):
            continue
        resolve_backbone(spec.backbone)
        if isinstance(spec.pretrained, str):
            require_file(Path(spec.pretrained))
    return specs


def not_adopted(specs: Sequence[MemberSpec], store: Store) -> list[MemberSpec]:
    """Leave out members that were adopted: to train would be to replace them."""
    adopted = [spec.name for spec in specs if is_adopted(store, spec.name)]
    if adopted:
        log.info("adopted, and not trained: %s", ", ".join(adopted))
    left = [spec for spec in specs if spec.name not in adopted]
    if not left:
        raise RecipeError(
            "backbones.include",
            expected="a backbone to train",
            got="adopted members alone",
            todo="Run: committee build-ensemble RECIPE",
        )
    return left


def open_for(recipe: Recipe, specs: Sequence[MemberSpec], store: Store) -> Dataset:
    """Open the recipe's data set, with a canvas large enough for every member."""
    settings = recipe.dataset
    size = canvas_size(max(spec.img_size for spec in specs), settings.fit)
    return open_dataset(settings, store, canvas_size=size, folds=recipe.training.folds, seed=recipe.seed)


def remember(store: Store, member: str, why: str | None) -> None:
    """Keep the reason why a member could not be made, or forget the one that there was."""
    path = failure_file(store, member)
    if why is None:
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"name": member, "reason": why})


@contextlib.contextmanager
def settled_memory() -> Iterator[None]:
    """Keep what is loaded by now from the garbage collector, which runs after each fit and would walk it."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
