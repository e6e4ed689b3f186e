"""The members that a recipe trains, their data set, and their plans."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from committee.backbones._weights import require_file
from committee.backbones.build import resolve as resolve_backbone
from committee.errors import RecipeError
from committee.images.dataset import Dataset, open_dataset
from committee.images.view import canvas_size
from committee.pipeline.shared.records import is_adopted
from committee.recipe.members import MemberSpec
from committee.recipe.model import Recipe
from committee.recipe.training import Plan as PlanSection
from committee.store.layout import Store
from committee.training.plans._of_backbone import OfBackbone
from committee.training.plans.base import PLANS, Plan

log = logging.getLogger(__name__)


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
