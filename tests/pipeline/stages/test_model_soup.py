"""Soups in a store: their groups of networks, and their use as members."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from committee.errors import UnknownNameError
from committee.pipeline.discover import discover
from committee.pipeline.run import run_verb, stages_of
from committee.pipeline.shared.records import provenance
from committee.pipeline.shared.summary import merged
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.model_soup import soup_groups
from committee.pipeline.stages.train import Train
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.recipe.runs import ModelSoup
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


def test_a_soup_that_needs_val_rows_fails_and_the_others_are_made(trained: Store) -> None:
    section = "runs.model_soup={methods: [uniform, greedy], over: [folds], barrier: 9, num_batches: 3}"
    outcome = run_verb(
        "build-ensemble", recipe(section), trained, methods=["soup_uniform_test_vit", "soup_greedy_test_vit"]
    )
    assert outcome.done == ["soup_uniform_test_vit"] and outcome.exit_code == 3
    assert outcome.failed["soup_greedy_test_vit"] == (
        "soup_greedy_test_vit: expected a validation split, on which the soup chooses networks, got none. "
        "Set dataset.val_size=0.1 and train in another store, or use the uniform soup."
    )


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
    groups = soup_groups(ModelSoup(), load_recipe(None, settings), store, discover(store))
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
