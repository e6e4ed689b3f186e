"""Scores: cross-fitted metrics, and gains over the best single member."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from committee.base.folds import make_folds
from committee.combiners.base import build
from committee.combiners.temperature import Temperature
from committee.combiners.vector_scaling import VectorScaling
from committee.combiners.weighted import Weighted
from committee.errors import DataError, LeakError
from committee.metrics.classification import METRICS, evaluate
from committee.predictions.table import Predictions
from committee.scoring.divergence import disagreement
from committee.scoring.gains import gain
from committee.scoring.leave_one_out import contribution_seconds, contributions, without
from committee.scoring.scores import as_family, cross_fit, score, score_all
from committee.scoring.singles import best_single


def test_each_row_is_combined_by_a_fit_without_it(noisy):
    folds = make_folds(noisy.labels, 4)
    found = cross_fit(build("weighted"), noisy, folds=folds)
    for fold in range(4):
        fitted = build("weighted").fit(noisy.rows(folds != fold))
        expected = fitted.combine(noisy.rows(folds == fold).logits)
        np.testing.assert_allclose(found[folds == fold], expected, atol=1e-6)


def test_labels_of_a_fold_do_not_reach_its_predictions(noisy):
    folds = make_folds(noisy.labels, 3)
    wrong = np.where(folds == 1, (noisy.labels + 1) % 5, noisy.labels)
    for spec in ("weighted", "greedy_selection", {"combiner": "temperature", "inner": "soft_voting"}):
        one = cross_fit(build(spec), noisy, folds=folds)
        other = cross_fit(build(spec), replace(noisy, labels=wrong), folds=folds)
        np.testing.assert_array_equal(one[folds == 1], other[folds == 1])


@pytest.mark.parametrize("calibrator", [Temperature, VectorScaling])
def test_calibrated_and_plain_variants_share_their_fits(noisy, calibrator, monkeypatch):
    rows, fits, fit = replace(noisy, folds=make_folds(noisy.labels, 4)), [], Weighted._fit
    monkeypatch.setattr(Weighted, "_fit", lambda self, part: (fits.append(len(part)), fit(self, part)))
    found = score_all({"plain": Weighted(), "calibrated": calibrator(Weighted())}, rows)
    assert sorted(fits) == [450] * 4 + [600]
    outputs = found["plain"][1].held_out
    np.testing.assert_array_equal(outputs, cross_fit(Weighted(), rows))
    fitted, scores = found["calibrated"]
    # The shipped calibration is fitted on all cross-fitted rows; that of a fold on those of the others.
    expected = calibrator().fit_around(found["plain"][0], outputs, rows.labels)
    assert fitted.notes() == expected.notes() == calibrator(Weighted()).fit(rows).notes()
    some, rest = rows.folds == 2, rows.folds != 2
    expected.fit_around(found["plain"][0], outputs[rest], rows.labels[rest])
    np.testing.assert_allclose(scores.held_out[some], expected.calibrated(outputs[some]), atol=1e-6)
    assert scores.uncalibrated == evaluate(outputs, rows.labels, ["log_loss", "ece"])
    assert found["plain"][1].uncalibrated is None
    np.testing.assert_array_equal(scores.held_out, cross_fit(calibrator(Weighted()), rows))
    fitted.inner.fit(rows.select(["solid"]))
    assert found["plain"][0].member_names == rows.members


def test_a_temperature_of_a_temperature(noisy):
    twice = {"combiner": "temperature", "inner": {"combiner": "temperature", "inner": "soft_voting"}}
    fitted, scores = score(build(twice), noisy)
    assert fitted.notes()["temperature"] == pytest.approx(1, abs=0.02)
    once = score(build("temperature"), noisy)[1].cross_fitted["log_loss"].value
    assert scores.cross_fitted["log_loss"].value == pytest.approx(once, abs=2e-3)


def test_folds_of_the_predictions_are_used(noisy):
    folds = np.arange(600) % 2
    given = cross_fit(build("weighted"), replace(noisy, folds=folds))
    np.testing.assert_array_equal(given, cross_fit(build("weighted"), noisy, folds=folds))
    drawn = cross_fit(build("weighted"), noisy, seed=1)
    assert not np.array_equal(drawn, cross_fit(build("weighted"), noisy, seed=2))


def test_a_rule_that_learns_nothing_needs_no_folds(noisy):
    voter = build("soft_voting")
    np.testing.assert_array_equal(cross_fit(voter, noisy), voter.combine(noisy.logits))
    bare = cross_fit(voter, replace(noisy, labels=None))
    np.testing.assert_array_equal(bare, voter.combine(noisy.logits))


def test_rows_that_a_member_has_seen_are_refused(noisy):
    with pytest.raises(LeakError) as error:
        score(build("soft_voting"), replace(noisy, seen=np.ones((3, 600), bool)))
    assert str(error.value) == (
        "soft_voting: expected rows that no member was trained on, "
        "got 600 of 600 rows that 'solid' was trained on. Use out-of-fold predictions or held-out rows."
    )


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (np.zeros(600, int), "folds: expected at least 2, got 1. Correct the fold column, or leave it out."),
        (
            np.full(600, np.nan),
            "folds: expected whole numbers from 0, got 'nan', 'nan', 'nan', 'nan', 'nan' and 595 more.",
        ),
        (
            np.arange(600) % 2 - 1,
            "folds: expected whole numbers from 0, got '-1', '-1', '-1', '-1', '-1' and 295 more.",
        ),
        (np.arange(6) % 2, "folds: expected one value per row [600], got an array [6]."),
        (
            "class",
            "folds: class 'a': expected rows in at least 2 folds, got all in fold 1. "
            "Correct the fold column, or leave it out.",
        ),
        (
            "groups",
            "folds: expected each group in one fold, got several for '0', '1', '2', '3', '4' and 295 more. "
            "Correct the fold column, or leave it out.",
        ),
    ],
    ids=["one fold", "nan", "negative", "shape", "class", "groups"],
)
def test_given_folds_are_checked(folds, message, noisy):
    if isinstance(folds, str):
        noisy = replace(noisy, groups=np.arange(600) // 2) if folds == "groups" else noisy
        folds = np.arange(600) % 2 if folds == "groups" else (noisy.labels == 0).astype(int)
    for scored in (
        lambda rows, folds: score(build("soft_voting"), rows, folds=folds),
        lambda rows, folds: cross_fit(build("weighted"), rows, folds=folds),
        lambda rows, folds: contributions(build("weighted"), rows, folds=folds),
    ):
        with pytest.raises(DataError) as error:
            scored(noisy, folds)
        assert str(error.value) == message


def test_folds_of_predictions_are_checked(noisy):
    with pytest.raises(DataError, match="expected rows in at least 2 folds"):
        score(build("weighted"), replace(noisy, folds=(noisy.labels == 0).astype(int)))


def test_a_class_with_one_row_is_named(noisy, caplog):
    labels = np.minimum(noisy.labels, 3)
    labels[7] = 4
    rare = replace(noisy, labels=labels)
    score(build("soft_voting"), rare)
    score(build("soft_voting"), rare, folds=np.arange(600) % 3)
    score(build("soft_voting"), replace(rare, groups=np.arange(600) // 2), folds=np.arange(600) // 2 % 3)
    assert len(caplog.messages) == 3 and all("'e'" in message for message in caplog.messages)


def test_score(noisy):
    fitted, scores = score(build("weighted"), noisy)
    assert fitted.member_weights() == build("weighted").fit(noisy).member_weights()
    assert scores.fit == evaluate(fitted.combine(noisy.logits), noisy.labels)
    held_out = cross_fit(build("weighted"), noisy)
    for name, value in evaluate(held_out, noisy.labels).items():
        assert scores.cross_fitted[name].value == pytest.approx(value)
        assert scores.cross_fitted[name].low <= value <= scores.cross_fitted[name].high
    assert set(scores.cross_fitted) == set(scores.fit) == set(METRICS)
    assert scores.fit["log_loss"] < scores.cross_fitted["log_loss"].value
    assert list(scores.gain) == [name for name, metric in METRICS.items() if metric.influence is not None]
    assert scores.draws.metrics == tuple(scores.gain)
    assert scores.gain["accuracy"].proven and scores.gain["accuracy"].against == "best single member (solid)"


def test_a_temperature_is_no_gain_of_the_committee(noisy):
    """An overconfident member and its copy: only calibration can improve the log-loss."""
    sure = replace(noisy.select(["solid", "fair"]), logits=np.repeat(3 * noisy.logits[:1], 2, axis=0))
    assert score(build("soft_voting"), sure)[1].gain["log_loss"].text == "no proven gain"
    for key in ("temperature", "member_temperature"):
        found = score(build(key), sure)[1].gain["log_loss"]
        assert found.text == "no proven gain"
        assert found.against == "best single member, calibrated (fair)"
    folds = make_folds(sure.labels, 4)
    raw, calibrated = (best_single(sure, folds, calibrated=which)[0] for which in (False, True))
    assert gain(calibrated, raw, sure.labels).proven
    np.testing.assert_array_equal(calibrated.argmax(1), raw.argmax(1))
    np.testing.assert_allclose(np.exp(calibrated).sum(1), 1, atol=1e-5)


def test_counting_the_votes_of_one_member_is_no_gain(noisy):
    """A single underconfident member, whose vote is more confident than its probabilities."""
    unsure = noisy.select(["solid"])
    found = score(build("hard_voting"), replace(unsure, logits=unsure.logits / 3))[1].gain["log_loss"]
    assert found.text == "no proven gain"
    assert found.against == "best single member, calibrated (solid)"


def test_scores_as_json(noisy):
    plain = score(build("soft_voting"), noisy)[1].to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert set(plain) == {"fit", "cross_fitted", "gain"}
    assert set(plain["cross_fitted"]["accuracy"]) == {"value", "low", "high"}
    found = plain["gain"]["accuracy"]
    assert list(found) == [
        *("metric", "value", "standard_error", "critical", "units", "against"),
        *("low", "high", "proven", "text"),
    ]
    assert found["low"] == found["value"] - found["critical"] * found["standard_error"]
    assert found["proven"] is (found["low"] > 0)


def test_many_at_once_are_scored_as_one_by_one(noisy):
    specs = {"soft": "soft_voting", "weights": "weighted", "greedy": "greedy_selection"}
    together = {
        name: scores
        for name, (_, scores) in score_all({key: build(spec) for key, spec in specs.items()}, noisy).items()
    }
    alone = {name: score(build(spec), noisy)[1] for name, spec in specs.items()}
    assert as_family(alone) == as_family(together) == together
    for name in specs:
        for metric, found in together[name].gain.items():
            single = alone[name].gain[metric]
            assert replace(found, critical=single.critical) == single
            assert found.critical >= single.critical


def test_a_member_alone_has_no_gain(noisy):
    alone = noisy.select(["solid"])
    scores = score(build("soft_voting"), alone)[1]
    assert {found.text for found in scores.gain.values()} == {"no proven gain"}
    assert contributions(build("soft_voting"), alone) == {}


def test_contributions(noisy):
    found = contributions(build("soft_voting"), noisy)
    assert list(found) == ["solid", "fair", "weak"]
    whole = evaluate(build("soft_voting").combine(noisy.logits), noisy.labels, ["log_loss"])["log_loss"]
    rest = noisy.select(["fair", "weak"]).logits
    without_solid = evaluate(build("soft_voting").combine(rest), noisy.labels, ["log_loss"])["log_loss"]
    assert found["solid"] == pytest.approx(without_solid - whole)
    assert found["solid"] > 0 > found["weak"]
    assert contributions(build("weighted"), noisy, "accuracy")["solid"] > 0


def test_contributions_of_named_members(noisy):
    given = contributions(build({"combiner": "weighted", "weights": {"solid": 1, "fair": 1}}), noisy)
    assert given["weak"] == pytest.approx(0, abs=1e-6) and given["solid"] > 0
    assert set(contributions(build({"combiner": "weighted", "weights": [1, 0, 0]}), noisy)) == {
        "fair",
        "weak",
    }
    part = {"combiner": "subset", "members": ["weak"]}
    assert set(contributions(build(part), noisy)) == {"solid", "fair"}
    nested = {"combiner": "compose", "inputs": {"a": part, "b": "soft_voting"}}
    assert set(contributions(build(nested), noisy)) == {"solid", "fair"}


def test_leaving_out_reaches_nested_combiners():
    inner = {"combiner": "weighted", "weights": [2, 1]}
    spec = {"combiner": "temperature", "inner": {"combiner": "subset", "members": ["c", "a"], "inner": inner}}
    left = without(build(spec), "c", ["a", "b", "c"])
    assert left is not None
    assert left.options()["inner"]["members"] == ["a"]
    assert left.options()["inner"]["inner"]["weights"] == [1]


def test_disagreement(noisy):
    logits = np.zeros((2, 4, 3), np.float32)
    logits[:, 0, 0] = 9
    logits[0, 1, 0] = logits[1, 1, 2] = 9
    logits[0, 2, 0] = logits[1, 2, 1] = 2
    rows = Predictions.from_logits(
        logits,
        members=["p", "q"],
        class_names=["x", "y", "z"],
        sample_ids=["agree", "far", "near", "flat"],
        labels=np.array([0, 2, 1, 1]),
    )
    first, second = disagreement(rows, top=2)
    assert first == {
        "sample_id": "far",
        "label": "z",
        "votes": {"x": 1, "z": 1},
        "disagreement": pytest.approx(np.log(2), abs=2e-3),
    }
    assert second["sample_id"] == "near" and 0 < second["disagreement"] < first["disagreement"]
    assert disagreement(replace(rows, labels=None), top=1)[0]["label"] is None
    assert len(disagreement(noisy)) == 20


@pytest.mark.parametrize("key", ["weighted", "cascade", "hard_voting", "pruned"])
@pytest.mark.parametrize("calibrated", [False, True])
def test_contributions_are_those_of_selected_predictions(noisy, key, calibrated):
    spec = {"combiner": key, **({"folds": 2} if key == "pruned" else {})}
    rule = build({"combiner": "temperature", "inner": spec} if calibrated else spec)
    folds = np.arange(len(noisy)) % 3
    found = contributions(rule, noisy, folds=folds)
    known = cross_fit(rule, noisy, folds=folds)
    assert contributions(rule, noisy, folds=folds, held_out=known) == found
    for member in noisy.members[:1]:
        rest = noisy.select([name for name in noisy.members if name != member])
        losses = [
            evaluate(cross_fit(rule, rows, folds=folds), rows.labels, ["log_loss"])["log_loss"]
            for rows in (noisy, rest)
        ]
        assert found[member] == pytest.approx(losses[1] - losses[0], abs=1e-6)
    assert contribution_seconds(rule, noisy) > 3 * rule.seconds(2, len(noisy), 3)
