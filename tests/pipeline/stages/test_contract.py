"""The contract of every stage: sections, order, names, dry run and verbs; and the names of a whole run."""

from __future__ import annotations

from operator import attrgetter

import pytest

from committee.cli._stage_verb import StageVerb, stage_verbs
from committee.errors import CommitteeError, RecipeError, UsageError
from committee.pipeline.run import check_names, run_verb, stages_of, wanted
from committee.pipeline.shared.summary import Summary
from committee.pipeline.stages.base import STAGES, Names, Stage, enabled
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store.layout import Store

EVERY = STAGES.names()


def stage(name: str) -> Stage:
    return STAGES.make(name)


@pytest.mark.parametrize("name", EVERY)
def test_the_command_line_reads_the_attributes_of_the_class(name: str) -> None:
    facts, kind = STAGES.constants(name), STAGES.load(name)
    assert (kind.sections, kind.order, kind.verbs, kind.debug) == tuple(
        facts[key] for key in ("sections", "order", "verbs", "debug")
    )
    assert kind.key == name


@pytest.mark.parametrize("name", EVERY)
def test_the_sections_are_keys_of_the_recipe(name: str) -> None:
    recipe = load_recipe(None)
    for key in stage(name).sections:
        recipe = enabled(recipe, key)
        assert attrgetter(key)(recipe) is not None


@pytest.mark.parametrize("name", EVERY)
def test_a_disabled_section_is_refused_with_advice_that_is_an_option_or_a_key(name: str) -> None:
    part = stage(name)
    if not part.sections or part.is_wanted(load_recipe(None)):
        return
    with pytest.raises(
        UsageError, match=f"^{part.sections[0]}: expected an enabled section, got none. "
    ) as error:
        part.section(load_recipe(None))
    advice = str(error.value).rpartition(": ")[2].split()
    assert advice[0] in {"--set", *(flag for verb in part.verbs for flag in StageVerb(verb).options)}


@pytest.mark.parametrize("name", EVERY)
def test_the_sample_of_a_debug_run_enables_the_stage(name: str) -> None:
    assert stage(name).is_wanted(stage(name).sample(load_recipe(None), fast=True))


@pytest.mark.parametrize("name", EVERY)
def test_the_plan_runs_nothing_and_fails_where_there_is_no_store(name: str, store) -> None:
    part = stage(name)
    recipe = part.sample(load_recipe(None, ["dataset.name=digits"]), fast=True)
    with pytest.raises(CommitteeError):
        part.plan(recipe, store)
    assert not store.root.exists()


@pytest.mark.parametrize("name", EVERY)
def test_the_plan_on_a_trained_store_is_facts_and_text(name: str, trained, tiny_settings) -> None:
    part = stage(name)
    recipe = part.sample(load_recipe(None, tiny_settings), fast=True)
    if name in ("meta_fuser", "distillation"):
        run_verb("build-ensemble", recipe, trained, methods=["soft_voting", "logit_averaging"])
    if name == "export":  # the best models are chosen among the evaluated ones
        run_verb("evaluate", recipe, trained)
    before = sorted(trained.root.rglob("*"))
    plan = part.plan(recipe, trained)
    assert isinstance(plan, Summary) and plan.facts and plan.blocks
    assert sorted(trained.root.rglob("*")) == before


@pytest.mark.parametrize("name", EVERY)
def test_the_plan_on_a_store_of_numbers_is_facts_and_text(name: str, numbers_root, number_settings) -> None:
    part = stage(name)
    plan = part.plan(part.sample(load_recipe(None, number_settings), fast=True), Store(numbers_root))
    assert isinstance(plan, Summary) and plan.facts and plan.blocks


def test_the_order_is_unambiguous() -> None:
    assert len({STAGES.load(name).order for name in EVERY}) == len(EVERY)


def test_every_verb_has_one_main_stage_and_one_set_of_options() -> None:
    for verb in stage_verbs():
        found = StageVerb(verb)
        assert found.main in found.names and found.__doc__
        for name in found.names:
            assert all(found.options[flag] == its for flag, its in STAGES.load(name).verbs[verb].items())


def names(*overrides: str) -> list[str]:
    recipe = load_recipe(None, list(overrides))
    check_names(wanted(recipe), recipe)
    found = [part.names(recipe) for part in wanted(recipe)]
    return [name for each in found for name in (*each.members, *each.ensembles)]


def test_the_names_of_all_stages_are_known_before_training() -> None:
    made = names("runs.meta_fuser={}", "pruning={}", "runs.stacking={meta_learners: [lr]}")
    assert made[-3:] == ["stacking_lr", "pruned_greedy_forward", "meta_fuser"]
    assert names("runs.fusion={}", "runs.moe={}")[:2] == ["fusion_concat_mlp", "moe"]


@pytest.mark.parametrize(
    ("overrides", "twice"),
    [
        (["runs.meta_fuser={name: soft_voting_ensemble}"], "soft_voting_ensemble"),
        (["runs.meta_fuser={name: pruned_greedy_forward}", "pruning={}"], "pruned_greedy_forward"),
        (["runs.meta_fuser={name: moe}", "runs.moe={}"], "moe"),
        (["runs.meta_fuser={name: Test_ViT}", "backbones.include=[timm:test_vit]"], "Test_ViT"),
    ],
)
def test_a_name_that_is_used_twice(overrides: list[str], twice: str) -> None:
    text = f"recipe: expected a different name for each member and ensemble, got '{twice}' twice"
    with pytest.raises(RecipeError, match=text):
        names(*overrides)


def test_a_fuser_that_is_its_own_input() -> None:
    with pytest.raises(
        RecipeError, match="expected ensembles other than meta_fuser itself, got 'meta_fuser'"
    ):
        names("runs.meta_fuser={input_ensembles: [soft_voting, meta_fuser]}")


@pytest.mark.parametrize(
    ("methods", "stages"),
    [
        ([], ["score_ensemble", "stacking"]),
        (["weighted"], ["score_ensemble"]),
        (["soup_uniform"], ["model_soup"]),
        (["soup_uniform", "stacking_lr"], ["model_soup", "score_ensemble"]),
    ],
)
def test_methods_choose_the_stages_of_build_ensemble(methods: list[str], stages: list[str]) -> None:
    recipe = load_recipe(None, ["runs.stacking={meta_learners: [lr]}"])
    assert [part.key for part in stages_of("build-ensemble", recipe, methods=methods)] == stages


def test_a_verb_none_of_whose_stages_is_wanted_runs_the_main_one_for_its_advice(store) -> None:
    recipe = load_recipe(None, ["runs.score_ensemble.enable=false"])
    assert [part.key for part in stages_of("build-ensemble", recipe)] == ["score_ensemble"]
    with pytest.raises(UsageError, match="Name a method: --method soft_voting"):
        run_verb("build-ensemble", recipe, store)


def test_a_section_is_enabled_with_its_defaults_or_its_values() -> None:
    plain: Recipe = enabled(load_recipe(None), "runs.moe", num_experts=2)
    assert plain.runs.moe is not None and plain.runs.moe.num_experts == 2
    off = load_recipe(None, ["pruning={enable: false, target_size: 3}"])
    assert enabled(off, "pruning").pruning.target_size == 3  # type: ignore[union-attr]
    assert STAGES.load("pruning")().names(enabled(off, "pruning")) == Names(
        ensembles=("pruned_greedy_forward",)
    )
