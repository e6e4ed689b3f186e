"""Prediction sets of stored models: their calibration rows, and equal sets from store and exported file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from committee.combiners.base import load
from committee.metrics.conformal import METHODS
from committee.metrics.set_table import SetTable
from committee.pipeline.run import run_verb
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.shared.sets import calibration_rows, member_table
from committee.pipeline.shared.splits import split_rows
from committee.pipeline.stages.evaluate import Evaluate
from committee.predictions.table import Predictions
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store.layout import Store


def recipe(*overrides: str) -> Recipe:
    return load_recipe(None, ["device=cpu", *overrides])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(load_digits().images[1000:1004]):
        Image.fromarray((image * 15.9).astype(np.uint8)).resize((40, 40)).save(folder / f"{number}.png")
    return folder


def test_out_of_fold_rows_make_an_approximate_table(trained: Store) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["weighted"])
    sets = ensemble_facts(trained, "weighted_ensemble")["sets"]
    assert (sets["rows"], sets["approximate"], sets["n"]) == ("oof", True, 191)


def test_val_rows_make_an_exact_table(with_val: Store) -> None:
    run_verb("build-ensemble", recipe("runs.score_ensemble.calibrate=none"), with_val, methods=["weighted"])
    facts = ensemble_facts(with_val, "weighted_ensemble")
    assert (facts["sets"]["rows"], facts["sets"]["approximate"]) == ("val", False)
    rows = split_rows(with_val, facts["members"], "val", facts["inference"])
    log_probs = load(with_val.ensemble("weighted_ensemble")).combine(rows.logits)
    expected = SetTable.of(log_probs, rows.labels, rows="val", approximate=False)
    assert facts["sets"] == json.loads(json.dumps(expected.to_json()))


def test_a_temperature_and_the_sets_share_no_row(with_val: Store) -> None:
    run_verb(
        "build-ensemble", recipe("runs.score_ensemble.calibrate=pooled"), with_val, methods=["soft_voting"]
    )
    facts = ensemble_facts(with_val, "soft_voting_ensemble")
    rows = split_rows(with_val, facts["members"], "val", facts["inference"])
    for_temperatures, for_sets = calibration_rows(rows, 0, halve=True)
    assert not set(for_temperatures.sample_ids) & set(for_sets.sample_ids)
    assert facts["sets"]["n"] == len(for_sets) and len(for_temperatures) + len(for_sets) == len(rows)
    assert not facts["sets"]["approximate"]


def test_halves_keep_groups_whole() -> None:
    labels = np.arange(40) % 4
    rows = Predictions.from_logits(
        np.zeros((1, 40, 4)),
        members=["a"],
        class_names=list("wxyz"),
        labels=labels,
        groups=np.arange(40) // 4,
    )
    for_temperatures, for_sets = calibration_rows(rows, 0, halve=True)
    assert not set(for_temperatures.groups) & set(for_sets.groups)
    assert calibration_rows(rows, 0, halve=False) == (rows, rows)
    together = replace(rows, groups=np.zeros(40, np.int64))
    assert calibration_rows(together, 0, halve=True) == (together, None)
    assert calibration_rows(rows.rows([0]), 0, halve=True)[1] is None
    assert calibration_rows(None, 0, halve=True) == (None, None)


def test_a_member_alone(trained: Store) -> None:
    found = member_table(trained, "test_vit", "refit")
    assert found is not None and (found["rows"], found["approximate"], found["n"]) == ("oof", True, 191)


def test_the_evaluation_has_coverage_and_size_of_sets(trained: Store) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    Evaluate().run(recipe(), trained)
    for path in (trained.member_metrics("test_vit"), trained.ensemble_metrics("soft_voting_ensemble")):
        sets = json.loads((path / "metrics.json").read_text("utf-8"))["sets"]
        assert set(sets) == {"rows", "n", "groups", "approximate", "note", *METHODS, "abstain"}
        for method in METHODS:
            wide, narrow = sets[method]["0.95"], sets[method]["0.9"]
            assert wide["mean_size"]["value"] >= narrow["mean_size"]["value"] >= 1
            assert wide["coverage"]["low"] <= wide["coverage"]["value"] <= wide["coverage"]["high"]
        assert [each["confidence"] for each in sets["abstain"]][:2] == [0.5, 0.6]


def test_store_and_file_give_the_same_sets(trained: Store, cli, photos: Path) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    run_verb("export", recipe("exports.formats=[onnx]"), trained, models=["soft_voting", "test_vit"])
    for name, full in (("soft_voting", "soft_voting_ensemble"), ("test_vit", "test_vit")):
        file = trained.deploy(full) / "onnx" / "model.onnx"
        answers = []
        kind = "classwise" if full == name else "aps"
        for model in (name, file):
            result = cli(
                "predict",
                model,
                photos,
                "--store",
                trained.root,
                "--coverage",
                "0.9",
                "--sets",
                kind,
                "--json",
            )
            assert result.code == 0, result.err
            answers.append(json.loads(result.out))
        one, other = answers
        assert one["sets"] == other["sets"]
        assert one["sets"].startswith(
            "Each set contains the true class with a probability of 0.9"
            f"{', whichever class it is' * (kind == 'classwise')} (approximate: c"
        )
        for first, second in zip(one["predictions"], other["predictions"], strict=True):
            assert first["set"] == second["set"] and first["prediction"] == first["set"][0]


def test_the_table_the_csv_and_abstention(trained: Store, cli, photos: Path, tmp_path: Path) -> None:
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    arguments = ("predict", "soft_voting", photos, "--store", trained.root)
    result = cli(*arguments, "--coverage", "0.95", "--abstain-below", "1")
    assert "abstained" in result.out and "set" in result.out.splitlines()[0].split()
    assert result.out.splitlines()[-1].startswith(
        "Each set contains the true class with a probability of 0.95"
    )
    result = cli(*arguments, "--csv", tmp_path / "out.csv", "--coverage", "0.95", "--abstain-below", "1")
    first = (tmp_path / "out.csv").read_text("utf-8").splitlines()[1].split(",")
    assert first[1] == "" and first[2]
    result = cli(*arguments, "--csv", tmp_path / "out.csv", "--coverage", "0.9", "--abstain-below", "1")
    assert result.code != 0
    assert (
        "expected predictions of soft_voting_ensemble (lac 0.9, abstain below 1), got those of "
        "soft_voting_ensemble (lac 0.95, abstain below 1)"
    ) in result.err
    result = cli(*arguments, "--coverage", "0.999")
    assert result.out.splitlines()[-1] == (
        "191 rows are too few for a coverage of 0.999: each set contains all classes."
    )
    result = cli(*arguments, "--coverage", "95")
    assert (result.code, result.err) == (
        2,
        "committee: coverage: expected a number above 0 and below 1, such as 0.95, got 95.\n",
    )
    result = cli(*arguments, "--abstain-below", "2")
    assert (result.code, result.err) == (
        2,
        "committee: --abstain-below: expected a probability in 0..1, got 2.\n",
    )
