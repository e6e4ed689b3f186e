"""What a recipe's stages will call what they make: known, and checked, before anything is trained."""

from __future__ import annotations

from committee.errors import RecipeError
from committee.pipeline.shared.choose import choose_methods, full_name
from committee.pipeline.stages.fusion import names_of as fusion_names
from committee.pipeline.stages.meta_fuser import refuse_itself
from committee.pipeline.stages.moe import NAME as MOE
from committee.pipeline.stages.pruning import methods_of
from committee.recipe.model import Recipe


def ensemble_names(recipe: Recipe) -> list[str]:
    """Return the names of the ensembles that a recipe asks for.

    Raises
    ------
    RecipeError
        Two stages would make ensembles, or a member and an ensemble, of one name; or the meta-fuser names
        itself among its inputs.
    UsageError, UnknownNameError
        A method cannot be.
    """
    pruning, fuser = recipe.pruning, recipe.runs.meta_fuser
    names = [full_name(method) for method in choose_methods(recipe)]
    names += [str(each["name"]) for each in methods_of(pruning)] if pruning and pruning.enable else []
    if fuser is not None and fuser.enable:
        for place, given in enumerate(fuser.input_ensembles):
            refuse_itself(fuser, place, given, given)
        names.append(fuser.name)
    taken = {spec.name.lower() for spec in recipe.members()} | {
        each.lower() for each in derived_names(recipe)
    }
    for name in names:
        if name.lower() in taken:
            raise RecipeError(
                "recipe",
                expected="a name of its own for each member and ensemble",
                got=f"'{name}' twice",
                todo="Give one another name.",
            )
        taken.add(name.lower())
    return names


def derived_names(recipe: Recipe) -> list[str]:
    """Return the names of the members that will come of others, as far as they are known before training."""
    fusion, moe = recipe.runs.fusion, recipe.runs.moe
    names = fusion_names(fusion) if fusion and fusion.enable else []
    return names + ([MOE] if moe and moe.enable else [])
