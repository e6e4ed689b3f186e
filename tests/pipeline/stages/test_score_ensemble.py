"""Ensembles on stored predictions: their records, cross-fitted scores and notes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from committee.combiners.base import load
from committee.combiners.temperature import Temperature
from committee.errors import StoreError, UnknownNameError, UsageError
from committee.pipeline.run import run_verb, stages_of
from committee.pipeline.shared.build import APPROXIMATE, EXACT
from committee.pipeline.shared.kept import is_kept
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.shared.sets import calibration_rows
from committee.pipeline.shared.splits import split_rows
from committee.pipeline.shared.summary import merged
from committee.pipeline.stages.train import Train
from committee.predictions.table import Predictions
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.scoring.scores import score
from committee.store.commit import commit
from committee.store.layout import Store

NAMES = ["soft_voting_ensemble", "hard_voting_ensemble", "logit_averaging_ensemble", "weighted_ensemble"]


def recipe(*overrides: str) -> Recipe:
    return load_recipe(None, ["device=cpu", *overrides])


def test_every_method_of_the_recipe(trained: Store) -> None:
    quick = recipe("runs.stacking.meta_learners=[lr]", "runs.score_ensemble.contributions_budget=0")
    outcome = run_verb("build-ensemble", quick, trained)
    assert outcome.done == [*NAMES, "stacking_lr"] and outcome.exit_code == 0
    assert trained.ensembles() == tuple(sorted([*NAMES, "stacking_lr"]))


def test_the_record_is_complete(trained: Store) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["weighted"])
    facts = ensemble_facts(trained, "weighted_ensemble")
    assert (facts["method"], facts["members"], facts["rows"], facts["n"]) == (
        "weighted",
        ["test_vit"],
        "oof",
        191,
    )
    assert facts["candidates"] == {"test_resnet": "refit", "test_vit": "refit"}
    assert facts["inference"] == {"test_vit": "refit"}
    assert facts["weights"] == {"test_resnet": 0.0, "test_vit": 1.0}
    assert sum(facts["weights"].values()) == pytest.approx(1)
    assert set(facts["scores"]) == {"fit", "cross_fitted", "gain"}
    assert facts["scores"]["gain"]["log_loss"]["against"]


def test_scores_are_those_of_the_joined_rows(trained: Store) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    joined = Predictions.load(trained.oof_predictions())
    _, scores = score(load(trained.ensemble("soft_voting_ensemble")).clone(), joined, seed=0)
    stored = ensemble_facts(trained, "soft_voting_ensemble")["scores"]
    assert stored == json.loads(json.dumps(scores.to_json()))


def test_the_module_agrees_with_the_combiner_on_stored_predictions(trained: Store) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["weighted"])
    module, facts = load_model(trained, "weighted")
    assert (facts["kind"], facts["inference"], facts["name"]) == ("ensemble", "refit", "weighted_ensemble")
    test = split_rows(trained, facts["members"], "test", dict.fromkeys(facts["members"], "refit"))
    combined = load(trained.ensemble("weighted_ensemble")).combine(test.logits)
    from committee.images.dataset import open_dataset

    dataset = open_dataset(None, trained, img_sizes=[32], folds=3, seed=0)
    found = module(dataset.images(dataset.rows("test"))).detach().numpy()
    np.testing.assert_allclose(found, combined, atol=1e-5)


@pytest.mark.parametrize(("calibrate", "key"), [("pooled", "temperature"), ("members", "temperatures")])
def test_a_temperature_fitted_out_of_fold_has_a_note(trained: Store, calibrate: str, key: str) -> None:
    outcome = run_verb(
        "build-ensemble",
        recipe(f"runs.score_ensemble.calibrate={calibrate}"),
        trained,
        methods=["soft_voting"],
    )
    assert outcome.done == ["soft_voting_ensemble"], outcome.failed
    facts = ensemble_facts(trained, "soft_voting_ensemble")
    assert (facts["method"], facts["calibrate"]) == ("soft_voting", calibrate)
    assert facts["calibration"]["method"] == calibrate and facts["calibration"]["note"] == APPROXIMATE
    assert set(facts["calibration"]["log_loss"]) == {"before", "after"}
    assert key in facts["notes"]


def test_a_temperature_fitted_on_val_rows_is_exact(with_val: Store) -> None:
    outcome = run_verb(
        "build-ensemble", recipe("runs.score_ensemble.calibrate=pooled"), with_val, methods=["soft_voting"]
    )
    assert outcome.done == ["soft_voting_ensemble"], outcome.failed
    facts = ensemble_facts(with_val, "soft_voting_ensemble")
    assert (facts["rows"], facts["calibration"]["note"]) == ("oof", EXACT)
    rows = split_rows(with_val, facts["members"], "val", facts["inference"])
    joined, _ = calibration_rows(rows, 0, halve=True)
    found = load(with_val.ensemble("soft_voting_ensemble"))
    expected = Temperature("soft_voting").fit(joined).notes()["temperature"]
    assert found.notes()["temperature"] == pytest.approx(expected, rel=1e-4)


def test_methods_may_be_mappings(trained: Store, cli: Callable[..., Any]) -> None:
    given = ["{combiner: greedy_selection, bags: 3, name: bagged}", "{combiner: weighted, space: logit}"]
    words = [word for each in given for word in ("--method", each)]
    found = cli("build-ensemble", "--store", trained.root, *words)
    assert found.code == 0, found.err
    assert load(trained.ensemble("bagged")).options()["inner"]["bags"] == 3
    assert load(trained.ensemble("weighted_ensemble")).options()["inner"]["space"] == "logit"
    run_verb("build-ensemble", recipe(), trained, methods=[{"combiner": "greedy_selection", "rounds": 5}])
    assert load(trained.ensemble("greedy_selection_ensemble")).options()["inner"]["rounds"] == 5


@pytest.mark.parametrize(
    ("methods", "text"),
    [
        (
            ["{combiner: weighted, spice: logit}"],
            "spice: expected an option of weighted (metric, space, weights), got 'logit'. "
            "Did you mean 'space'?",
        ),
        (["{combiner: wighted}"], "Did you mean 'weighted'?"),
        (["{combiner: weighted, name: ../up}"], "name: expected"),
        (["weighted", "{combiner: weighted, space: logit}"], "methods: expected a different name"),
        (["{combiner: weighted"], "invalid YAML: expected ',' or '}'"),
    ],
)
def test_a_mapping_is_checked_as_in_a_recipe(
    trained: Store, cli: Callable[..., Any], methods: list[str], text: str
) -> None:
    words = [word for each in methods for word in ("--method", each)]
    found = cli("build-ensemble", "--store", trained.root, *words)
    assert found.code == 2 and text in found.err


def test_no_method_at_all(trained: Store) -> None:
    with pytest.raises(UsageError) as caught:
        run_verb("build-ensemble", recipe("runs.score_ensemble.enable=false"), trained)
    assert str(caught.value) == (
        "runs: expected at least one enabled method, got none. Name a method: --method soft_voting"
    )


def test_without_folds_the_val_split_is_used(store: Store, tiny_settings: list[str]) -> None:
    settings = [*tiny_settings, "backbones.include=[timm:test_vit]", "training.folds=0"]
    Train().run(load_recipe(None, settings), store)
    outcome = run_verb(
        "build-ensemble", load_recipe(None, [*settings, "runs.score_ensemble.calibrate=pooled"]), store
    )
    assert outcome.done == NAMES, outcome.failed
    facts = ensemble_facts(store, "soft_voting_ensemble")
    assert facts["rows"] == "val" and facts["calibration"]["note"] == EXACT


def test_members_without_folds_beside_others_are_named(trained: Store) -> None:
    shutil.rmtree(trained.kfold("test_vit") / "oof")
    for fold in set(trained.folds("test_vit")) - {"refit"}:
        shutil.rmtree(trained.checkpoint("test_vit", fold))
    with pytest.raises(StoreError) as caught:
        run_verb("build-ensemble", recipe(), trained)
    assert str(caught.value) == (
        "No K-fold results for test_vit: train it with folds, or name it in backbones.exclude."
    )
    assert run_verb("build-ensemble", recipe("backbones.exclude=[test_vit]"), trained).done == NAMES


def test_an_ensemble_of_networks_that_changed_is_refused(trained: Store) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    with commit(trained.checkpoint("test_resnet", "refit"), kind="checkpoint", fingerprint="other") as new:
        (new / "weights.safetensors").write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        load_model(trained, "soft_voting")
    assert str(caught.value) == (
        "soft_voting_ensemble: expected the networks of test_resnet that it was built from, got others. "
        "Run: committee build-ensemble"
    )


def test_an_ensemble_that_is_built_again_is_not_reported_as_outdated(
    trained: Store, caplog: pytest.LogCaptureFixture
) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting", "hard_voting"])
    with commit(trained.checkpoint("test_resnet", "fold_0"), kind="checkpoint", fingerprint="other") as new:
        (new / "weights.safetensors").write_bytes(b"")
    caplog.clear()
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(warnings) == 1 and warnings[0].startswith("left out ensembles/hard_voting_ensemble: ")


def test_a_damaged_member_is_named_and_the_others_are_built(trained: Store) -> None:
    file = trained.kfold("test_vit") / "oof" / "logits.npy"
    file.write_bytes(file.read_bytes()[:-1])
    outcome = run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    assert outcome.exit_code == 3 and outcome.done == ["soft_voting_ensemble"]
    assert list(outcome.failed) == ["kfold/test_vit/oof"]
    assert outcome.failed["kfold/test_vit/oof"].startswith(f"{file}: expected ")
    assert ensemble_facts(trained, "soft_voting_ensemble")["members"] == ["test_resnet"]


def test_one_failing_method_does_not_stop_the_others(trained: Store) -> None:
    outcome = run_verb(
        "build-ensemble",
        recipe("runs.score_ensemble.methods=[soft_voting, {combiner: subset, members: [nobody]}]"),
        trained,
    )
    assert outcome.done == ["soft_voting_ensemble"] and list(outcome.failed) == ["subset_ensemble"]
    assert outcome.exit_code == 3


def test_options_and_compositions_of_the_recipe(trained: Store) -> None:
    methods = (
        "[{combiner: weighted, name: given, weights: {test_vit: 1, test_resnet: 3}, space: logit},"
        " {combiner: greedy_selection, name: bagged, bags: 3},"
        " {combiner: compose, name: both, inputs: {a: hard_voting, b: weighted}, final: stacking_lr}]"
    )
    outcome = run_verb(
        "build-ensemble",
        recipe(
            f"runs.score_ensemble.methods={methods}",
            "runs.score_ensemble.calibrate=none",
            "runs.score_ensemble.contributions_budget=0",
        ),
        trained,
    )
    assert outcome.done == ["given", "bagged", "both"], outcome.failed
    assert ensemble_facts(trained, "given")["weights"] == {"test_resnet": 0.75, "test_vit": 0.25}
    assert len(ensemble_facts(trained, "bagged")["notes"]["selections"]) == 3
    both = ensemble_facts(trained, "both")
    assert (both["method"], both["calibration"]) == ("compose", None)


def test_an_unknown_method(trained: Store) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'weighted'"):
        run_verb("build-ensemble", recipe(), trained, methods=["weigthed"])


def test_a_plan_counts_the_fits_and_writes_nothing(trained: Store) -> None:
    before = sorted(trained.root.rglob("*"))
    plan = merged(
        [
            stage.plan(recipe(), trained)
            for stage in stages_of("build-ensemble", recipe(), methods=["soft_voting", "weighted"])
        ]
    ).facts
    assert plan == {
        "members": ["test_resnet", "test_vit"],
        "rows": "oof",
        "n": 191,
        "ensembles": {"soft_voting_ensemble": 0, "weighted_ensemble": 4},
    }
    assert sorted(trained.root.rglob("*")) == before


def test_an_ensemble_of_the_same_inputs_is_kept(trained: Store, monkeypatch, caplog) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting", "weighted"])
    before = {name: (trained.ensemble(name) / "manifest.json").stat().st_ino for name in trained.ensembles()}
    record = trained.ensemble("weighted_ensemble") / "ensemble.json"
    record.write_bytes(record.read_bytes()[:-1])
    caplog.clear()
    (stage,) = stages_of("build-ensemble", recipe(), methods=["soft_voting", "weighted"])
    planned = stage.plan(recipe(), trained).facts["ensembles"]
    assert planned == {"soft_voting_ensemble": 0, "weighted_ensemble": 4}
    outcome = run_verb("build-ensemble", recipe(), trained, methods=["soft_voting", "weighted"])
    assert outcome.done == list(before) and outcome.exit_code == 0
    after = {name: (trained.ensemble(name) / "manifest.json").stat().st_ino for name in before}
    assert {name for name in before if after[name] != before[name]} == {"weighted_ensemble"}
    assert "another recipe" not in caplog.text


def test_what_a_function_of_the_user_made_is_not_kept(tmp_path) -> None:
    """Its code may have changed, which no digest of a name tells."""
    with commit(tmp_path / "one", kind="ensemble", fingerprint="1", made_from="same"):
        pass
    assert is_kept(tmp_path / "one", "same", {"metric": "brier"})
    assert not is_kept(tmp_path / "one", "same", {"metric": "python:module.function"})


@pytest.mark.parametrize(
    ("overrides", "method", "said"),
    [
        (
            ["runs.members=[test_vit]"],
            "soft_voting",
            "1 candidate ('test_vit') in place of 2 ('test_resnet', ",
        ),
        (["runs.score_ensemble.calibrate=none"], "soft_voting", "calibrate none in place of pooled"),
        (["seed=3"], "soft_voting", "seed 3 in place of 0"),
        (
            [],
            {"combiner": "weighted", "name": "soft_voting_ensemble"},
            'combiner "weighted" in place of "soft_',
        ),
    ],
)
def test_what_another_recipe_built_is_not_replaced_without_a_word(
    trained: Store, caplog, overrides, method, said
) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    assert "another recipe" not in caplog.text
    run_verb("build-ensemble", recipe(*overrides), trained, methods=[method])
    (warning,) = [each.getMessage() for each in caplog.records if "another recipe" in each.getMessage()]
    assert warning.startswith("soft_voting_ensemble of another recipe is replaced: ")
    assert said in warning and warning.endswith(". To keep both, give one of them another name.")
