"""Text of all about one model."""

from __future__ import annotations

from typing import Any

from committee.report.details import tables

SCORE = {"accuracy": {"value": 0.5, "low": 0.25, "high": 0.75}}
MEMBER: dict[str, Any] = {
    "name": "net",
    "kind": "member",
    "cross_fitted": SCORE,
    "fit": {},
    "metrics": SCORE,
    "per_class": [
        {"class": "cat", "precision": 0.5, "recall": 1.0, "f1": 0.75, "n": 1},
        {"class": "dog", "precision": 0.5, "recall": 0.0, "f1": 0.0, "n": 3},
    ],
    "confusion": [[1, 0], [3, 0]],
}
ENSEMBLE: dict[str, Any] = {
    **MEMBER,
    "kind": "ensemble",
    "fit": {"accuracy": 0.75},
    "members": ["a", "b"],
    "weights": {"a": 1.0, "b": 0.0},
    "gain": {"accuracy": {**SCORE["accuracy"], "proven": False, "text": "no proven gain", "against": "a"}},
    "calibrate": "pooled",
    "calibration": {
        "method": "pooled",
        "note": "...",
        "log_loss": {"before": 0.5, "after": 0.25},
        "ece": {"before": 0.2, "after": 0.1},
    },
    "contributions": {"a": 0.125},
    "disagreement": [{"sample_id": "x", "label": "cat", "votes": {"dog": 2, "cat": 1}, "disagreement": 0.5}],
}
HALF = "0.5000 [0.2500, 0.7500]"


def test_a_member() -> None:
    assert tables(MEMBER) == [
        ("metrics", ["metric", "cross-fitted", "of the fit", "test"], [["accuracy", HALF, None, HALF]]),
        (
            "classes of the test split",
            ["class", "precision", "recall", "f1", "n"],
            [["cat", 0.5, 1.0, 0.75, 1], ["dog", 0.5, 0.0, 0.0, 3]],
        ),
        ("mistakes on the test split", ["class", "taken for", "n"], [["dog", "cat", 3]]),
    ]


def test_an_ensemble_says_what_members_add_and_where_they_disagree() -> None:
    assert tables(ENSEMBLE)[3:] == [
        (
            "cross-fitted gain",
            ["metric", "gain", "in words", "over"],
            [["accuracy", HALF, "no proven gain", "a"]],
        ),
        (
            "calibration (pooled), cross-fitted",
            ["metric", "before", "after"],
            [["log_loss", 0.5, 0.25], ["ece", 0.2, 0.1]],
        ),
        (
            "members",
            ["member", "weight", "log_loss higher without it"],
            [["a", 1.0, 0.125], ["b", 0.0, None]],
        ),
        (
            "samples on which members disagree most, of those that the ensemble learned from",
            ["sample", "class", "votes", "disagreement"],
            [["x", "cat", "dog: 2, cat: 1", 0.5]],
        ),
    ]


def test_what_there_is_nothing_of_has_no_table() -> None:
    nothing = {"metrics": {}, "cross_fitted": {}, "per_class": [], "confusion": []}
    assert tables({**MEMBER, **nothing}) == []
    titles = [title for title, *_ in tables({**ENSEMBLE, **nothing, "calibration": None, "weights": None})]
    assert titles[0] == "cross-fitted gain" and titles[1] == "members"
