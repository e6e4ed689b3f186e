"""Shared behavior of stacking learners: unusual rows and members, and features."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import rel_entr, softmax
from scipy.stats import entropy

from committee.combiners._stacker import LIMITS, Stacker
from committee.combiners.base import COMBINERS, build, load, save
from committee.combiners.shared.serving import default_task, serving
from committee.combiners.stacking_lr import StackingLr
from committee.errors import DataError, UsageError
from committee.metrics.classification import evaluate
from committee.predictions.table import Predictions
from committee.solvers.meta_features import meta_features

STACKERS = [name for name in serving(default_task()) if issubclass(COMBINERS.load(name), Stacker)]
QUICK: dict[str, dict[str, Any]] = {
    name: COMBINERS.load(name).examples(("near", "tree"))[0] for name in STACKERS
}
every = pytest.mark.parametrize(
    "spec", [{"combiner": key, **options} for key, options in QUICK.items()], ids=list(QUICK)
)


@every
def test_one_class_is_not_enough(spec) -> None:
    rows = Predictions.from_logits(
        np.zeros((2, 6, 3)), members=["a", "b"], class_names=list("xyz"), labels=np.ones(6, int)
    )
    with pytest.raises(DataError) as caught:
        build(spec).fit(rows)
    assert str(caught.value) == f"{spec['combiner']}: expected rows of at least two classes, got one class."


@every
def test_a_class_of_one_row_which_some_inner_fold_lacks(spec, digits: Predictions) -> None:
    rows = digits.rows(np.arange(200))
    keep = np.flatnonzero(rows.labels != 9).tolist() + np.flatnonzero(rows.labels == 9)[:1].tolist()
    part = rows.rows(np.array(keep))
    output = build(spec).fit(part).combine(part.logits)
    assert np.isfinite(output).all() and (output.argmax(1) == part.labels).mean() > 0.7


@every
def test_identical_members(spec, digits: Predictions) -> None:
    near = digits.select(["near"]).logits[0, :200]
    rows = Predictions.from_logits(
        np.stack([near] * 3), members=list("abc"), class_names=digits.class_names, labels=digits.labels[:200]
    )
    output = build(spec).fit(rows).combine(rows.logits)
    assert np.isfinite(output).all() and (output.argmax(1) == rows.labels).mean() > 0.9


@every
def test_groups_stay_together_when_strength_is_chosen(spec, digits: Predictions) -> None:
    rule = build(spec)
    rows = digits.rows(np.arange(120))
    grouped = Predictions.from_logits(
        rows.logits,
        members=rows.members,
        class_names=rows.class_names,
        labels=rows.labels,
        groups=np.arange(120) // 3,
    )
    for others, held_out in rule.held_out(grouped):
        assert not set(grouped.groups[others]) & set(grouped.groups[held_out])


def test_what_learners_are_shown() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 20, 4))
    shown = meta_features(torch.from_numpy(logits), "probability", True).numpy()
    probs = softmax(logits, axis=2)
    assert shown.shape == (20, 3 * 4 + 3 + 3 + 1)
    np.testing.assert_allclose(shown[:, :12], probs.transpose(1, 0, 2).reshape(20, -1))
    np.testing.assert_allclose(shown[:, 12:15], entropy(probs, axis=2).T)
    ordered = np.sort(probs, axis=2)
    np.testing.assert_allclose(shown[:, 15:18], (ordered[:, :, -1] - ordered[:, :, -2]).T)
    np.testing.assert_allclose(shown[:, 18], rel_entr(probs, probs.mean(0)).sum(2).mean(0), atol=1e-12)


def wild(rows: int, seed: int) -> Predictions:
    """A fair member, and one that is right more often, but sometimes wrong and nearly certain."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, rows)
    fair = random.normal(size=(rows, 4)) + 1.5 * np.eye(4)[labels]
    sure = random.normal(size=(rows, 4)) + 4 * np.eye(4)[labels]
    wrong = random.random(rows) < 0.1
    sure[wrong] = random.normal(size=(wrong.sum(), 4)) + 60 * np.eye(4)[random.integers(0, 4, wrong.sum())]
    return Predictions.from_logits(
        np.stack([fair, sure]), members=["fair", "sure"], class_names=list("wxyz"), labels=labels
    )


def independent(rows: int, seed: int) -> Predictions:
    """Two members with independent evidence: the sum of their log-probabilities is exact."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, rows)
    evidence = random.normal(size=(2, rows, 4)) + 1.5 * np.eye(4)[labels]
    return Predictions.from_logits(
        1.5 * evidence, members=["a", "b"], class_names=list("wxyz"), labels=labels
    )


@pytest.mark.parametrize(("draw", "form"), [(wild, "probability"), (independent, "log_probability")])
def test_the_better_form_of_features_is_kept(draw: Any, form: str) -> None:
    rows, fresh = draw(600, 0), draw(4000, 1)
    forms = ("auto", "probability", "log_probability")
    fitted = {name: StackingLr(features=name).fit(rows) for name in forms}
    losses = {
        name: -rule.combine(fresh.logits)[np.arange(4000), fresh.labels].mean()
        for name, rule in fitted.items()
    }
    notes = fitted["auto"].notes()
    by_form = notes["log_loss_by_features"]
    assert notes["features"] == form == min(by_form, key=by_form.get)
    assert losses["auto"] == losses[form] == min(losses.values())
    assert notes["C"] == fitted[form].notes()["C"]
    assert "log_loss_by_features" not in fitted[form].notes()


def test_a_given_strength_is_compared_for_both_forms() -> None:
    notes = StackingLr(C=0.1).fit(wild(300, 0)).notes()
    assert notes["C"] == 0.1 and set(notes["log_loss_by_C"]) == {"0.1"}
    assert set(notes["log_loss_by_features"]) == {"probability", "log_probability"}


def test_trees_do_not_compare_forms_that_they_split_alike(digits: Predictions) -> None:
    notes = build({"combiner": "stacking_rf", "n_estimators": 3}).fit(digits.rows(np.arange(200))).notes()
    assert notes["features"] == "log_probability" and "log_loss_by_features" not in notes


def test_a_form_of_features_that_does_not_exist(digits: Predictions) -> None:
    with pytest.raises(UsageError) as caught:
        build({"combiner": "stacking_lr", "features": "logit"}).fit(digits)
    assert str(caught.value) == (
        "stacking_lr.features: expected one of auto, log_probability, probability, got 'logit'."
    )


@pytest.mark.parametrize(
    ("key", "options", "message"),
    [
        ("stacking_rf", {"n_estimators": 0}, "stacking_rf.n_estimators: expected at least 1, got 0."),
        ("stacking_xgb", {"max_depth": 0}, "stacking_xgb.max_depth: expected at least 1, got 0."),
        ("stacking_mlp", {"epochs": -1}, "stacking_mlp.epochs: expected at least 0, got -1."),
        ("stacking_mlp", {"dropout": 1.0}, "stacking_mlp.dropout: expected at least 0 and below 1, got 1.0."),
        (
            "attention",
            {"member_dropout": 1.0},
            "attention.member_dropout: expected at least 0 and below 1, got 1.0.",
        ),
        ("attention", {"epochs": -1}, "attention.epochs: expected at least 0, got -1."),
    ],
)
def test_numbers_that_cannot_be(
    key: str, options: dict[str, float], message: str, digits: Predictions
) -> None:
    with pytest.raises(UsageError) as caught:
        build({"combiner": key, **options}).fit(digits)
    assert str(caught.value) == message


@every
def test_settings_are_tuned_on_rows_of_other_networks(spec, digits: Predictions) -> None:
    rows = replace(digits.rows(np.arange(90)), folds=np.arange(90) % 3)
    for others, held_out in build(spec).held_out(rows):
        assert not set(rows.folds[others]) & set(rows.folds[held_out])


@every
def test_features_outside_the_range_of_the_fit_are_not_extrapolated(spec, digits: Predictions) -> None:
    """A network on new images may be far more confident than those whose rows are fitted, and wrong."""
    rows = digits.rows(np.arange(200))
    rule = build(spec).fit(replace(rows, logits=0.01 * rows.logits))
    wrong = rows.logits[:, ::-1]
    vote = evaluate(build("soft_voting").fit(rows).combine(wrong), rows.labels)["log_loss"]
    found = evaluate(rule.combine(wrong), rows.labels)["log_loss"]
    assert found < 4 * vote  # 170 times without limits, for `stacking_lr`


@every
def test_files_of_a_version_without_limits_predict_as_before(
    spec, digits: Predictions, tmp_path: Path
) -> None:
    rows = digits.rows(np.arange(200))
    rule = build(spec).fit(rows)
    save(rule, tmp_path)
    _remove_limits(tmp_path)
    found = load(tmp_path)
    np.testing.assert_allclose(found.combine(rows.logits), rule.combine(rows.logits), atol=1e-5)
    beyond = 20 * rows.logits[:, ::-1]
    rule.set_buffers(**{LIMITS: np.array([[-np.inf], [np.inf]], np.float32)})
    np.testing.assert_allclose(found.combine(beyond), rule.combine(beyond), atol=1e-5)


def _remove_limits(folder: Path) -> None:
    """Change a stored stack to what a version without limits wrote."""
    described, path = folder / "combiner.json", folder / "combiner.safetensors"
    facts, tensors = json.loads(described.read_text(encoding="utf-8")), load_file(path)
    del facts["buffers"][LIMITS], tensors[LIMITS]
    described.write_text(json.dumps(facts), encoding="utf-8")
    save_file(tensors, path)
