"""The members that a recipe trains, with their data set and plans."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from committee.backbones.build import resolve as resolve_backbone
from committee.backbones.weights import require_file
from committee.errors import RecipeError
from committee.images.dataset import Dataset, open_dataset, remove_unused
from committee.pipeline.shared.derived_members import stored_canvases
from committee.pipeline.shared.records import is_adopted
from committee.recipe.members import MemberSpec
from committee.recipe.model import Recipe
from committee.recipe.training import Plan as PlanSection
from committee.store.commit import remove
from committee.store.layout import Store
from committee.training.crossfit.augmentation import AugmentationTrial
from committee.training.plans.base import PLANS, Plan
from committee.training.plans.moe import gate_size
from committee.training.plans.shared.of_backbone import OfBackbone

log = logging.getLogger(__name__)


def members_to_train(recipe: Recipe, store: Store | None = None) -> list[MemberSpec]:
    """Return the members that a recipe names, after a check of their backbones and files of weights.

    Members that the store adopted are not checked.

    Raises
    ------
    RecipeError
        The recipe names no backbone.
    UsageError
        A file of weights does not exist.
    UnknownNameError
        A backbone does not exist; the error suggests the nearest name.
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
    """Return the members that were not adopted, since training an adopted member would replace it.

    Raises
    ------
    RecipeError
        All of the members were adopted.
    """
    adopted = [spec.name for spec in specs if is_adopted(store, spec.name)]
    if adopted:
        log.info("Adopted members are not trained: %s", ", ".join(adopted))
    left = [spec for spec in specs if spec.name not in adopted]
    if not left:
        raise RecipeError(
            "backbones.include",
            expected="a backbone to train",
            got="only adopted members",
            todo="Run: committee build-ensemble RECIPE",
        )
    return left


def open_for(recipe: Recipe, specs: Sequence[MemberSpec], store: Store) -> Dataset:
    """Open the data set of a recipe with the canvases of all members, and remove those that none reads.

    The splits and folds of a store are fixed once it contains results: before, they are drawn anew.
    """
    if recipe.dataset.is_named and not store.has_results():
        remove(store.dataset_folder())
    dataset = open_dataset(
        recipe.dataset,
        store,
        img_sizes=img_sizes(recipe, specs),
        folds=recipe.training.folds,
        seed=recipe.seed,
    )
    remove_unused(store, {*dataset.canvases, *stored_canvases(store, store.members())})
    return dataset


def img_sizes(recipe: Recipe, specs: Sequence[MemberSpec]) -> list[int]:
    """Return the image sizes of the networks that a recipe trains, smallest first, and that of its gate."""
    sizes = {spec.img_size for spec in specs}
    moe = recipe.runs.moe
    return sorted(sizes | ({gate_size(sizes)} if moe is not None and moe.enable else set()))


def with_augmentation(
    specs: Sequence[MemberSpec], dataset: Dataset, store: Store, device: torch.device, *, fit: bool
) -> list[MemberSpec]:
    """Return the members with the augmentation that was chosen for those with `augment: auto`.

    Parameters
    ----------
    specs, dataset, store, device
        See `plans_of`.
    fit : bool
        Whether to choose where the store has no choice yet, which trains networks. Otherwise such members
        are returned unchanged.
    """
    found = []
    for spec in specs:
        if spec.training.augment.preset == "auto":
            trial = AugmentationTrial(spec, dataset, store, device)
            augment = trial.choose() if fit else trial.known() or spec.training.augment
            spec = replace(spec, training=spec.training.model_copy(update={"augment": augment}))
        found.append(spec)
    return found


def plans_of(
    recipe: Recipe, specs: Sequence[MemberSpec], dataset: Dataset, store: Store, device: torch.device
) -> list[OfBackbone]:
    """Return the plan of each member, and of its snapshots if the recipe enables them.

    Raises
    ------
    UsageError
        A plan refuses the value of an option.
    RecipeError
        Two members would have the same name.
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
    for plan in plans:
        _warn_of_unused(plan)
    return plans


def _warn_of_unused(plan: OfBackbone) -> None:
    """Log the keys of the recipe that have no effect on a member."""
    unused = plan.unused()
    for why in dict.fromkeys(unused.values()):
        keys = [f"training.{key}" for key, its in unused.items() if its == why]
        verb = "has" if len(keys) == 1 else "have"
        log.warning("%s: %s %s no effect: %s", plan.name, ", ".join(keys), verb, why)


def _plan(spec: MemberSpec, dataset: Dataset, store: Store, device: torch.device) -> OfBackbone:
    choice = spec.training.plan
    plan = PLANS.make(
        str(choice.name), spec=spec, dataset=dataset, store=store, device=device, **choice.options
    )
    return cast("OfBackbone", plan)


def _check_names(plans: Sequence[Plan]) -> None:
    seen: dict[str, str] = {}
    for plan in plans:
        for name in (plan.name, *plan.others):
            other = seen.setdefault(name.lower(), plan.name)
            if other != plan.name:
                raise RecipeError(
                    "models",
                    expected="a different name for each member",
                    got=f"'{name}' for both {other} and {plan.name}",
                    todo="Rename one of them with the key as: models: [{name: ..., as: ...}].",
                )
