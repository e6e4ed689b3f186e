"""metrics.json: its schema and values; only the evaluation reads the test split."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from committee.combiners.base import load
from committee.images.record import load_record
from committee.metrics.classification import METRICS
from committee.metrics.uncertainty import mutual_information
from committee.pipeline.run import run_verb
from committee.pipeline.shared.costs import Costs
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.shared.splits import split_rows
from committee.pipeline.stages.evaluate import Evaluate
from committee.predictions.table import Predictions
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.report.leaderboard import leaderboard
from committee.store.commit import commit
from committee.store.layout import Store
from committee.tasks import Classification

KEYS = {
    "name",
    "kind",
    "data",
    "inference",
    "split",
    "n",
    "metrics",
    "cross_fitted",
    "fit",
    "per_class",
    "absent_classes",
    "mistakes",
    "confusion",
    "latency_ms",
    "size_mb",
    "gain",
}


def recipe(*overrides: str) -> Recipe:
    return load_recipe(None, ["device=cpu", *overrides])


def report(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def evaluated(trained_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with two members and two ensembles, evaluated once: to be read only."""
    store = Store(shutil.copytree(trained_root, tmp_path_factory.mktemp("evaluated") / "store"))
    run_verb("build-ensemble", recipe(), store, methods=["weighted", "soft_voting"])
    outcome = Evaluate().run(recipe(), store)
    assert outcome.done == ["test_resnet", "test_vit", "soft_voting_ensemble", "weighted_ensemble"]
    return store


def test_the_schema(evaluated: Store) -> None:
    member, ensemble = (
        report(evaluated.member_metrics("test_vit")),
        report(evaluated.ensemble_metrics("weighted_ensemble")),
    )
    for found in (member, ensemble):
        assert set(found) >= KEYS
        assert (found["inference"], found["split"], found["n"]) == ("refit", "test", 49)
        assert set(found["metrics"]) == set(found["cross_fitted"]) == set(METRICS)
        for part in ("metrics", "cross_fitted"):
            for interval in found[part].values():
                assert interval["low"] <= interval["value"] <= interval["high"]
        assert {"batch", "device", "median", "p95"} <= set(found["latency_ms"])
        assert np.shape(found["confusion"]) == (10, 10) and len(found["per_class"]) == 10
    assert (member["kind"], member["start"], member["fit"], member["gain"]) == ("member", "random", {}, {})
    assert ensemble["kind"] == "ensemble" and set(ensemble["fit"]) == set(METRICS)
    assert set(ensemble["contributions"]) == {"test_resnet", "test_vit"}
    assert ensemble["disagreement"][0]["sample_id"]
    assert not {"mutual_information", "deep_ensemble_equivalent"} & set(member)
    assert ensemble["mutual_information"] is None and ensemble["members"] == ["test_vit"]
    assert ensemble["size_mb"] > member["size_mb"]


def test_measures_of_the_members_together(evaluated: Store) -> None:
    found = report(evaluated.ensemble_metrics("soft_voting_ensemble"))
    test = split_rows(evaluated, found["members"], "test", dict.fromkeys(found["members"], "refit"))
    information = found["mutual_information"]
    assert information["value"] == pytest.approx(mutual_information(test.logits).mean())
    assert 0 < information["low"] < information["value"] < information["high"] < np.log(2)
    equivalent = found["deep_ensemble_equivalent"]
    assert len(equivalent["curve"]) == 2
    # It is the vote of all candidates, unless that is worse than one of them on these few rows.
    assert equivalent["value"] == pytest.approx(2, abs=1e-3) or "worse" in equivalent["note"]


def test_the_values_agree_with_scikit_learn(evaluated: Store) -> None:
    found = report(evaluated.ensemble_metrics("weighted_ensemble"))
    deployed = dict.fromkeys(found["members"], "refit")
    test = split_rows(evaluated, found["members"], "test", deployed)
    probs = np.exp(load(evaluated.ensemble("weighted_ensemble")).combine(test.logits).astype(np.float64))
    probs /= probs.sum(axis=1, keepdims=True)
    assert found["metrics"]["accuracy"]["value"] == accuracy_score(test.labels, probs.argmax(1))
    expected = log_loss(test.labels, probs, labels=range(10))
    assert found["metrics"]["log_loss"]["value"] == pytest.approx(expected, abs=1e-5)
    np.testing.assert_array_equal(
        found["confusion"], confusion_matrix(test.labels, probs.argmax(1), labels=range(10))
    )
    assert found["absent_classes"] == []
    wrong = np.array(found["confusion"]) - np.diag(np.diag(found["confusion"]))
    assert sum(each["n"] for each in found["mistakes"]) == wrong.sum()
    worst = found["mistakes"][0]
    place = [test.class_names.index(worst[key]) for key in ("class", "predicted")]
    assert worst["n"] == wrong.max() == wrong[*place]


def test_with_many_classes_only_the_mistakes_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    log_probs = np.log(np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.2, 0.1, 0.7]], np.float32))
    labels = np.array([0, 1, 1])
    found = Classification().details(log_probs, labels, "abc")
    assert found["confusion"] == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]
    monkeypatch.setattr("committee.tasks._classes.CONFUSION_CLASSES", 2)
    listed = [{"class": "b", "predicted": each, "n": 1} for each in "ac"]
    assert Classification().details(log_probs, labels, "abc") == {
        **found,
        "mistakes": listed,
        "confusion": [],
    }


def test_fold_networks_can_be_deployed(trained: Store) -> None:
    folds = recipe("training.inference=folds")
    run_verb("build-ensemble", folds, trained, methods=["soft_voting"])
    Evaluate().run(folds, trained)
    rows = leaderboard(trained)
    assert {row["inference"] for row in rows} == {"folds"}
    sizes = {row["name"]: row["size_mb"] for row in rows}
    assert sizes["soft_voting_ensemble"] == pytest.approx(sizes["test_resnet"] + sizes["test_vit"], rel=0.01)


def test_the_leaderboard_ranks_by_cross_fitted_scores(evaluated: Store) -> None:
    by_loss = [row["cross_fitted"]["log_loss"]["value"] for row in leaderboard(evaluated)]
    assert by_loss == sorted(by_loss)
    by_accuracy = [row["cross_fitted"]["accuracy"]["value"] for row in leaderboard(evaluated, "accuracy")]
    assert by_accuracy == sorted(by_accuracy, reverse=True)


def test_reports_of_networks_that_changed_are_excluded(
    evaluated: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(shutil.copytree(evaluated.root, tmp_path / "changed"))
    folder = store.checkpoint("test_vit", "refit")
    shutil.move(folder, tmp_path / "before")
    with commit(folder, kind="checkpoint", fingerprint="other settings") as new:
        (new / "weights.safetensors").write_bytes(b"")
    assert [row["name"] for row in leaderboard(store)] == ["test_resnet"]
    assert "test_vit has changed since it was evaluated: run committee evaluate" in caplog.messages


def test_damaged_predictions_are_named_and_the_others_are_evaluated(trained: Store) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    file = trained.kfold("test_vit") / "test_refit" / "logits.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    outcome = Evaluate().run(recipe(), trained)
    assert outcome.exit_code == 3 and outcome.done == ["test_resnet"]
    assert list(outcome.failed) == ["kfold/test_vit/test_refit", "soft_voting_ensemble"]
    assert all(str(file) in why for why in outcome.failed.values())


def test_an_interrupted_evaluation_is_resumed(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interrupt at the second model the first report is stored, and the next run makes all."""
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    of, calls = Costs.of, []

    def stop(self: Costs, *given: object) -> object:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return of(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Costs, "of", stop)
        with pytest.raises(KeyboardInterrupt):
            Evaluate().run(recipe(), trained)
    assert [row["name"] for row in leaderboard(trained)] == ["test_resnet"]
    assert Evaluate().run(recipe(), trained).done == ["test_resnet", "test_vit", "soft_voting_ensemble"]
    assert len(leaderboard(trained)) == 3


def test_quarantined_images_and_copies_are_in_every_report(trained: Store) -> None:
    record = load_record(trained)
    assert record is not None
    bad = replace(record, quarantined={"a.jpg": "truncated"}, copies={"b.jpg": "c.jpg", "d.jpg": "c.jpg"})
    bad.save(trained)
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    Evaluate().run(recipe(), trained)
    assert {str(row["data"]) for row in leaderboard(trained)} == {"{'quarantined': 1, 'copies': 2}"}


def test_no_other_stage_reads_the_test_split(trained: Store) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["weighted"])
    before = ensemble_facts(trained, "weighted_ensemble")
    for name in trained.members():
        folder = trained.kfold(name) / "test_refit"
        predictions = Predictions.load(folder, mmap=False)
        with commit(folder, kind="predictions", fingerprint="another test split") as new:
            replace(predictions, logits=-predictions.logits).save(new)
    run_verb("build-ensemble", recipe(), trained, methods=["weighted"])
    assert ensemble_facts(trained, "weighted_ensemble") == before


def test_reports_of_the_same_inputs_are_kept(evaluated: Store, tmp_path: Path) -> None:
    store = Store(shutil.copytree(evaluated.root, tmp_path / "copy"))
    folders = [store.member_metrics("test_vit"), store.ensemble_metrics("soft_voting_ensemble")]

    def editions() -> list[int]:
        return [(folder / "manifest.json").stat().st_ino for folder in folders]

    before = editions()
    assert Evaluate().run(recipe(), store).exit_code == 0
    assert editions() == before
    Evaluate(batch=2).run(recipe(), store)
    assert all(new != old for new, old in zip(editions(), before, strict=True))
