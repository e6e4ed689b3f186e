"""From a recipe to its members: backbones and seeds spelled out, each with its settings resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from committee.errors import RecipeError
from committee.recipe.section import overlay
from committee.recipe.training import Model, Override, Training

if TYPE_CHECKING:
    from committee.recipe.model import Recipe


@dataclass(frozen=True)
class MemberSpec:
    """One member to train.

    Parameters
    ----------
    name : str
        Slug: the member's folder and column.
    backbone : str
        As the recipe writes it; `committee.backbones.build.resolve` finds it.
    seed : int
        Where its randomness starts.
    pretrained : bool, str or None
        Published weights, random weights, a file; None is the default of the backbone's source.
    img_size, batch_size : int
        Side of its images in pixels, and images in a batch.
    training : Training
        `recipe.training`, with what `overrides` and the entry of `models` say in its place.
    """

    name: str
    backbone: str
    seed: int
    pretrained: bool | str | None
    img_size: int
    batch_size: int
    training: Training


def slug(backbone: str) -> str:
    """Return the member name of a backbone: without its source, fit to be a folder."""
    bare = backbone.split(":", 1)[1] if ":" in backbone else backbone
    return re.sub(r"[^A-Za-z0-9._-]+", "_", bare).strip("._-") or "member"


def is_named(pattern: str, name: str, backbone: str) -> bool:
    """Return whether `pattern`, of `include`, `exclude` or `overrides`, means this member.

    A name that was given to several seeds means each of them.
    """
    bare = slug(backbone)
    several = name if name == bare else re.sub(r"_s\d+$", "", name)
    return pattern in (name, several, backbone, bare)


def everyone(recipe: Recipe) -> list[MemberSpec]:
    """Return the members of `backbones.include` and `models`, those excluded too."""
    return [spec for model in _models(recipe) for spec in _of_model(recipe, model)]


def expand(recipe: Recipe) -> list[MemberSpec]:
    """Return the members of `backbones.include` and `models`, less `backbones.exclude`."""
    excluded = recipe.backbones.exclude
    specs = [
        spec
        for spec in everyone(recipe)
        if not any(is_named(each, spec.name, spec.backbone) for each in excluded)
    ]
    seen: dict[str, MemberSpec] = {}
    for spec in specs:
        # Lower case: two folders that differ in case alone are one folder on some systems.
        other = seen.setdefault(spec.name.lower(), spec)
        if other is not spec:
            raise RecipeError(
                "models",
                expected="a name of its own for every member",
                got=f"'{spec.name}' for both {other.backbone} and {spec.backbone}",
                todo="Give one another name: models: [{name: " + spec.backbone + ", as: ...}].",
            )
    return specs


def pick(recipe: Recipe, available: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Choose among trained members.

    Parameters
    ----------
    recipe : Recipe
        Its `backbones` and `models` choose; if it names none, all are chosen but those excluded.
    available : mapping
        Member name -> backbone, as the store has them.

    Returns
    -------
    chosen : list of str
        Member names, in the order of `available`.
    missing : list of str
        What the recipe names and the store has not.
    """
    wanted = [*recipe.backbones.include, *(model.alias or model.name for model in recipe.models)]
    chosen = [
        name
        for name, backbone in available.items()
        if not any(is_named(each, name, backbone) for each in recipe.backbones.exclude)
        and (not wanted or any(is_named(each, name, backbone) for each in wanted))
    ]
    missing = [
        each
        for each in wanted
        if each not in recipe.backbones.exclude
        and not any(is_named(each, name, backbone) for name, backbone in available.items())
    ]
    return chosen, missing


def _models(recipe: Recipe) -> Iterator[Model]:
    described = {model.name for model in recipe.models}
    yield from (Model(name=name) for name in recipe.backbones.include if name not in described)
    yield from recipe.models


def _of_model(recipe: Recipe, model: Model) -> Iterator[MemberSpec]:
    name = model.alias or slug(model.name)
    fit, sizes = (
        recipe.training,
        {"img_size": recipe.dataset.img_size, "batch_size": recipe.dataset.batch_size},
    )
    layers: list[Override] = [
        over for key, over in recipe.overrides.items() if is_named(key, name, model.name)
    ]
    for layer in [*layers, model]:
        fit = overlay(fit, layer)
        sizes |= {key: value for key in sizes if (value := getattr(layer, key)) is not None}
    seeds = model.seeds or [recipe.seed]
    for seed in seeds:
        own = f"{name}_s{seed}" if len(seeds) > 1 else name
        yield MemberSpec(
            name=own, backbone=model.name, seed=seed, pretrained=fit.pretrained, training=fit, **sizes
        )
