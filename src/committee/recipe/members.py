"""Members of a recipe: one for each backbone and seed, with its settings resolved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from committee.errors import RecipeError
from committee.recipe.section import overlay
from committee.recipe.training import Model, Override, Training


@dataclass(frozen=True)
class MemberSpec:
    """The settings of one member to train.

    Parameters
    ----------
    name : str
        Name of the member's folder and of its column in tables.
    backbone : str
        The name in the recipe, which `committee.backbones.build.resolve` accepts.
    seed : int
        Seed of all randomness of this member.
    pretrained : bool, str or None
        Published weights, random weights, or a file; None is the default of the backbone's source.
    img_size, batch_size : int
        Side of the images in pixels, and number of images in a batch.
    training : Training
        `recipe.training`, updated with `overrides` and with the entry of `models`.

    See Also
    --------
    committee.recipe.model.Recipe.members : Return the specs of a recipe.

    Examples
    --------
    >>> from committee.recipe.load import load_recipe
    >>> recipe = load_recipe(None, ["models=[{name: timm:resnet18, lr: 0.01, seeds: [1, 2]}]"])
    >>> [(spec.name, spec.seed, spec.training.lr) for spec in recipe.members()]
    [('resnet18_s1', 1, 0.01), ('resnet18_s2', 2, 0.01)]
    """

    name: str
    backbone: str
    seed: int
    pretrained: bool | str | None
    img_size: int
    batch_size: int
    training: Training


def slug(backbone: str) -> str:
    """Return the default member name of a backbone: its name without the source, valid as a folder name."""
    bare = backbone.split(":", 1)[1] if ":" in backbone else backbone
    return re.sub(r"[^A-Za-z0-9._-]+", "_", bare).strip("._-") or "member"


def is_named(pattern: str, name: str, backbone: str) -> bool:
    """Return whether `pattern`, an entry of `include`, `exclude` or `overrides`, matches a member.

    The name of an entry with several seeds matches the member of each seed.
    """
    bare = slug(backbone)
    without_seed = name if name == bare else re.sub(r"_s\d+$", "", name)
    return pattern in (name, without_seed, backbone, bare)


def matches(pattern: str, available: Mapping[str, str]) -> list[str]:
    """Return the members that an entry of `include`, `exclude` or `runs.members` names.

    The exact name of a member means this member alone, even if other members have a backbone of that name.

    Parameters
    ----------
    pattern : str
        Name of a member or a backbone.
    available : mapping
        Member name -> backbone.

    Examples
    --------
    >>> from committee.recipe.members import matches
    >>> members = {"resnet18": "timm:resnet18", "adopted": "timm:resnet18"}
    >>> matches("resnet18", members), matches("timm:resnet18", members)
    (['resnet18'], ['resnet18', 'adopted'])
    """
    if pattern in available:
        return [pattern]
    return [name for name, backbone in available.items() if is_named(pattern, name, backbone)]


def expand(
    model: Model, training: Training, sizes: Mapping[str, int], overrides: Mapping[str, Override], seed: int
) -> Iterator[MemberSpec]:
    """Yield the member of each seed of one entry of `models`.

    Parameters
    ----------
    model : Model
        The entry.
    training : Training
        Settings of all members.
    sizes : mapping
        `img_size` and `batch_size` of all members.
    overrides : mapping
        Settings of some members, by backbone or member name; those of `model` take precedence.
    seed : int
        Seed of the recipe, used if the entry has none.
    """
    name = model.alias or slug(model.name)
    layers = [each for key, each in overrides.items() if is_named(key, name, model.name)]
    for layer in [*layers, model]:
        training = overlay(training, layer)
        sizes = {key: getattr(layer, key) or value for key, value in sizes.items()}
    seeds = model.seeds or [seed]
    for each in seeds:
        yield MemberSpec(
            name=f"{name}_s{each}" if len(seeds) > 1 else name,
            backbone=model.name,
            seed=each,
            pretrained=training.pretrained,
            training=training,
            **sizes,
        )


def check_unique(specs: Iterable[MemberSpec]) -> None:
    """Raise RecipeError if two members have the same name."""
    seen: dict[str, MemberSpec] = {}
    for spec in specs:
        # Names that differ in case alone are one folder on some file systems.
        other = seen.setdefault(spec.name.lower(), spec)
        if other is not spec:
            raise RecipeError(
                "models",
                expected="different names of members",
                got=f"'{spec.name}' for both {other.backbone} and {spec.backbone}",
                todo="Give one another name: models: [{name: " + spec.backbone + ", as: ...}].",
            )


def select(
    wanted: Sequence[str], excluded: Sequence[str], available: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Select trained members by name.

    Parameters
    ----------
    wanted, excluded : sequence of str
        Names of backbones or members; if none is wanted, all are selected but those excluded.
    available : mapping
        Member name -> backbone.

    Returns
    -------
    selected : list of str
        Member names, in the order of `available`.
    unmatched : list of str
        Names in `wanted` that match no available member.
    """

    out = {name for each in excluded for name in matches(each, available)}
    found = {each: matches(each, available) for each in wanted}
    named = {name for names in found.values() for name in names}
    selected = [name for name in available if name not in out and (not wanted or name in named)]
    return selected, [each for each, names in found.items() if not names and each not in excluded]
