"""Soups in a store: their groups of networks, and their use as members."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from committee.errors import UnknownNameError, UsageError
from committee.pipeline.discover import discover
from committee.pipeline.run import plan_run, run_verb, stages_of
from committee.pipeline.shared.records import provenance
from committee.pipeline.shared.summary import merged
from committee.pipeline.stages.base import Names
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.model_soup import ModelSoup, soup_groups
from committee.pipeline.stages.train import Train
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.recipe.runs import ModelSoup as Section
from committee.store.layout import Store

FOLDS = "runs.model_soup={methods: [uniform], over: [folds], barrier: 9, num_batches: 3}"


def recipe(*overrides: str) -> Recipe:
    return load_recipe(None, ["device=cpu", "exports.formats=[state_dict, onnx]", *overrides])


def test_soups_of_folds_are_members_like_any_other(trained: Store) -> None:
    outcome = run_verb("build-ensemble", recipe(FOLDS), trained, methods=["soup_uniform"])
    names = ["soup_uniform_test_resnet", "soup_uniform_test_vit"]
    assert (outcome.done, outcome.failed) == (names, {})
    report = provenance(trained, names[0])["soup"]
    assert set(report["weights"]) == {"fold_0", "fold_1", "fold_2"} and "recomputed_bn" in report
    assert "recomputed_bn" not in provenance(trained, names[1])["soup"], "a vision transformer has none"
    assert set(names) <= {entry["name"] for entry in discover(trained)["members"]}
    assert set(names) <= set(Evaluate().run(recipe(), trained).done)
    assert run_verb("export", recipe(), trained, models=[names[0]]).done == [names[0]]


def test_ensembles_leave_them_out_unless_they_are_named(trained: Store) -> None:
    run_verb("build-ensemble", recipe(FOLDS), trained, methods=["soup_uniform"])
    assert merged([stage.plan(recipe(), trained) for stage in stages_of("build-ensemble", recipe())]).facts[
        "members"
    ] == ["test_resnet", "test_vit"]


def test_a_plan_names_them(trained: Store) -> None:
    plan = merged(
        [stage.plan(recipe(FOLDS), trained) for stage in stages_of("build-ensemble", recipe(FOLDS))]
    ).facts
    assert plan["soups"] == {
        "soup_uniform_test_resnet": ["test_resnet"],
        "soup_uniform_test_vit": ["test_vit"],
    }
    assert "soft_voting_ensemble" in plan["ensembles"]


@pytest.mark.parametrize("name", ["soup_uniform_test_vit", "soup_uniform"])
def test_soups_by_name(trained: Store, name: str) -> None:
    done = run_verb("build-ensemble", recipe(FOLDS), trained, methods=[name]).done
    assert "soup_uniform_test_vit" in done and len(done) == (2 if name == "soup_uniform" else 1)


def test_an_unknown_soup(trained: Store) -> None:
    with pytest.raises(
        UnknownNameError, match=r"soup: expected one of soup_greedy_test_resnet, .*'soup_uniform_vit'"
    ):
        run_verb("build-ensemble", recipe(FOLDS), trained, methods=["soup_uniform_vit"])


SEEN = "there are no rows that none of the networks was trained on, by which to choose among them"
LEFT_OUT = (
    f"soup_greedy_test_vit is left out: {SEEN}. Set dataset.val_size=0.1 before the first training of a "
    "store, or make the uniform soup."
)
GREEDY = "runs.model_soup={methods: [uniform, greedy], over: [folds], barrier: 9, num_batches: 3}"


def test_a_soup_that_cannot_choose_is_left_out_by_name_and_the_others_are_made(
    trained: Store, caplog: pytest.LogCaptureFixture
) -> None:
    settings = recipe(GREEDY, "backbones.include=[timm:test_vit]")
    assert ModelSoup().plan(settings, trained).facts["left_out"] == ["soup_greedy_test_vit"]
    outcome = ModelSoup().run(settings, trained)
    assert (outcome.done, outcome.exit_code) == (["soup_uniform_test_vit"], 0)
    assert LEFT_OUT in caplog.text


def test_one_that_was_asked_for_by_its_name_fails(trained: Store) -> None:
    methods = ["soup_uniform_test_vit", "soup_greedy_test_vit"]
    outcome = run_verb("build-ensemble", recipe(GREEDY), trained, methods=methods)
    assert outcome.done == ["soup_uniform_test_vit"] and outcome.exit_code == 3
    assert outcome.failed["soup_greedy_test_vit"].startswith("soup_greedy_test_vit: expected rows that none")


def foreseen(*overrides: str) -> Names:
    settings = recipe("models=[{name: timm:test_vit, seeds: [1, 2]}, {name: timm:test_resnet}]", *overrides)
    return ModelSoup().names(settings)


def test_names_and_what_cannot_be_made_are_known_before_training() -> None:
    names = foreseen("runs.model_soup={}", "runs.snapshot_ensemble={}")
    single = ["test_vit_s1", "test_vit_s2", "test_resnet"]
    groups = ["test_vit", *(f"snapshot_{name}" for name in single)]
    assert names.members == (
        *(f"soup_uniform_{name}" for name in [*groups, *single]),
        *(f"soup_greedy_{name}" for name in groups),
    )
    several = ", ".join(f"soup_greedy_{name}" for name in single)
    assert names.left_out == (LEFT_OUT.replace("soup_greedy_test_vit is", f"{several} are"),)
    assert not foreseen("runs.model_soup={}", "dataset.val_size=0.1").left_out
    bags = foreseen("runs.model_soup={over: [members, folds]}", "training.plan=bagging")
    assert not bags.members and "expected networks of one backbone, snapshots" in bags.left_out[0]


def test_a_section_of_which_nothing_can_be_made_is_refused_before_training() -> None:
    said = (
        rf"runs\.model_soup: expected a val split, got none, and {SEEN}\. Set dataset\.val_size=0\.1 before "
        r"the first training of a store, or make the uniform soup\."
    )
    with pytest.raises(UsageError, match=said):
        foreseen("runs.model_soup={methods: [greedy, learned], over: [folds]}")


def test_the_dry_run_of_a_run_lists_soups(tiny_settings: list[str], store: Store) -> None:
    settings = load_recipe(None, [*tiny_settings, GREEDY, "backbones.include=[timm:test_vit]"])
    plan = plan_run(settings, store)
    assert LEFT_OUT in plan.blocks
    assert plan.facts["stages"]["model_soup"]["members"] == ("soup_uniform_test_vit",)


def test_nothing_to_average(trained: Store) -> None:
    outcome = run_verb("build-ensemble", recipe("runs.model_soup={over: [snapshots]}"), trained)
    assert outcome.failed["runs.model_soup"].startswith(
        "runs.model_soup: expected networks of one backbone, snapshots of a run, or folds of a member, got"
    )
    assert "soft_voting_ensemble" in outcome.done


def test_groups_of_seeds_of_snapshots_and_of_a_name_that_is_used(
    store: Store, tiny_settings: list[str]
) -> None:
    models = (
        "models=[{name: timm:test_resnet}, {name: timm:test_resnet, as: twin},"
        " {name: timm:test_resnet, as: large, img_size: 48},"
        " {name: timm:test_resnet, as: snap, plan: {name: snapshot, n_snapshots: 2, epochs_per_cycle: 1}}]"
    )
    settings = [*tiny_settings, "backbones.include=[]", models, "training.epochs=1", "training.folds=2"]
    assert Train().run(load_recipe(None, settings), store).failed == {}
    groups = soup_groups(Section(), load_recipe(None, settings), store, discover(store))
    assert groups == [
        ("test_resnet_members", ["test_resnet", "twin"]),
        ("snap", ["snap_1", "snap_2"]),
        ("large", ["large"]),
        ("test_resnet", ["test_resnet"]),
        ("twin", ["twin"]),
    ]


def test_the_command_line_shows_the_averaged_networks(trained: Store, cli: Callable[..., object]) -> None:
    arguments = ("build-ensemble", "--store", trained.root, "--method", "soup_uniform_test_resnet")
    settings = ("--set", FOLDS, "--set", "device=cpu")
    result = cli(*arguments, *settings, "--dry-run")
    assert result.code == 0 and "soup_uniform_test_resnet  test_resnet" in result.out
    result = cli(*arguments, *settings)
    assert result.code == 0 and "Ensembles" not in result.out
    assert result.out.startswith("Members\n")
    shown = " ".join(result.out.split())
    assert "soup_uniform_test_resnet test_resnet fold_" in shown and "(batch norm: " in shown
    result = cli(*arguments, *settings, "--json")
    assert "soup" in json.loads(result.out)["members"]["soup_uniform_test_resnet"]
