"""A rule that is used only where it is proven better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from committee.combiners.base import build
from committee.combiners.fallback import Fallback
from committee.errors import UsageError
from committee.predictions.simulation import simulate

GOOD = {"combiner": "subset", "members": ["good"]}
BOTH = {"combiner": "subset", "members": ["good", "also"]}


def test_the_used_rule_is_all_that_is_shipped() -> None:
    rows = simulate({"good": 2.0, "also": 2.0, "random": 0.0}, rows=400)
    better, worse = Fallback(BOTH, GOOD).fit(rows), Fallback(GOOD, BOTH).fit(rows)
    assert (better.notes()["used"], worse.notes()["used"]) == ("inner", "fallback")
    assert better.notes()["gains"]["log_loss"]["low"] > 0 > worse.notes()["gains"]["log_loss"]["high"]
    for rule in (better, worse):
        shipped = rule.restrict_to_used()
        assert shipped.member_names == ("good", "also") and shipped.key == "soft_voting"
        expected = build("soft_voting").fit(rows.select(["good", "also"]))
        np.testing.assert_allclose(rule.combine(rows.logits), expected.combine(rows.logits[:2]), atol=1e-6)


def test_a_gain_that_is_more_confidence_alone_is_none() -> None:
    rows = simulate({"good": 2.0}, rows=400)
    timid = replace(
        rows,
        logits=np.concatenate([rows.logits * 0.3, rows.logits]),
        members=("timid", "good"),
        seen=np.zeros((2, len(rows)), bool),
    )
    plain = {"combiner": "subset", "members": ["timid"]}
    assert Fallback(GOOD, plain).fit(timid).notes()["used"] == "fallback"
    assert Fallback(GOOD, plain, calibrate=False).fit(timid).notes()["used"] == "inner"


def test_under_the_null_few_rules_are_used() -> None:
    used = 0
    for seed in range(40):
        rows = simulate({"good": 1.0, "also": 1.0}, rows=120, seed=seed)
        also = {"combiner": "subset", "members": ["also"]}
        used += Fallback(also, GOOD, calibrate=False).fit(rows).notes()["used"] == "inner"
    assert used <= 4


def test_rows_of_a_group_count_once() -> None:
    rows = simulate({"good": 2.0, "also": 2.0}, rows=60)
    twice = rows.rows(np.tile(np.arange(60), 20))
    twice = replace(
        twice, sample_ids=np.arange(1200).astype(str), folds=None, groups=np.tile(np.arange(60), 20)
    )
    alone, repeated = (
        Fallback(BOTH, GOOD, calibrate=False).fit(each).notes()["gains"] for each in (rows, twice)
    )
    for metric in ("log_loss", "accuracy"):
        for limit in ("low", "high"):
            assert repeated[metric][limit] == pytest.approx(alone[metric][limit], rel=1e-4, abs=1e-6)


def test_unfitted_and_out_of_range() -> None:
    rows = simulate({"good": 2.0}, rows=60)
    with pytest.raises(UsageError, match="fallback: expected a fitted combiner, got an unfitted one"):
        Fallback(GOOD, GOOD).bind(["good"]).combine(rows.logits)
    with pytest.raises(UsageError, match=r"fallback\.confidence: expected at least 0 and below 1, got 1"):
        Fallback(GOOD, GOOD, confidence=1.0).fit(rows)
