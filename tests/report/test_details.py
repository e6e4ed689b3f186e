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
    "mistakes": [{"class": "dog", "predicted": "cat", "n": 3}],
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


def test_maps_have_overlap_and_images() -> None:
    classes = [{"class": "cell", "iou": 0.5, "dice": None, "boundary_f1": 0.25, "n": 9, "n_images": 2}]
    found = {"per_class": classes, "worst": [{"sample_id": "x", "mean_iou": 0.125}], "disagreements": []}
    assert tables({**MEMBER, **found, "mistakes": []})[1:] == [
        (
            "Classes of the test split",
            ["class", "iou", "dice", "boundary_f1", "n", "n_images"],
            [["cell", "0.5000", None, "0.2500", 9, 2]],
        ),
        ("Images of the test split with the worst values", ["image", "mean_iou"], [["x", "0.1250"]]),
    ]


def test_a_member() -> None:
    assert tables(MEMBER) == [
        (
            "Metrics",
            ["metric", "cross-fitted", "on the rows of the fit", "test"],
            [["accuracy", HALF, None, HALF]],
        ),
        (
            "Classes of the test split",
            ["class", "precision", "recall", "f1", "n"],
            [["cat", "0.5000", "1.0000", "0.7500", 1], ["dog", "0.5000", "0.0000", "0.0000", 3]],
        ),
        (
            "Most frequent mistakes on the test split",
            ["class", "predicted as", "n"],
            [["dog", "cat", 3]],
        ),
    ]


def test_an_ensemble_has_contributions_and_disagreement() -> None:
    assert tables(ENSEMBLE)[3:] == [
        (
            "Cross-fitted gains",
            ["metric", "gain", "in words", "compared with"],
            [["accuracy", HALF, "no proven gain", "a"]],
        ),
        (
            "Effect of calibration (pooled), cross-fitted",
            ["metric", "before", "after"],
            [["log_loss", "0.5000", "0.2500"], ["ece", "0.2000", "0.1000"]],
        ),
        (
            "Members",
            ["member", "weight", "increase of the log_loss without it"],
            [["a", "1.0000", "0.1250"], ["b", "0.0000", None]],
        ),
        (
            "Samples on which the members disagree most, among those that the ensemble was fitted on",
            ["sample", "class", "votes", "disagreement"],
            [["x", "cat", "dog: 2, cat: 1", "0.5000"]],
        ),
    ]


def test_prediction_sets_abstention_and_skipped_networks() -> None:
    share = {"value": 0.5, "low": 0.25, "high": 0.75}
    sets = {
        "note": "approximate",
        "lac": {"0.9": {"coverage": share, "mean_size": share}},
        "aps": {},
        "abstain": [{"confidence": 0.5, "answered": 0.75, "accuracy": None}],
    }
    times = dict.fromkeys(("mean", "median", "p95", "dense_mean", "dense_median", "dense_p95"), 2.0)
    conditional = {
        "accuracy_kept": {"cross_fitted": 0.99, "test": 0.98},
        "used_members": {"a": 1.0, "b": 0.25},
        "latency_ms": [{"batch": 1, **times}],
    }
    found = {title: rows for title, _, rows in tables({**ENSEMBLE, "sets": sets, "conditional": conditional})}
    assert found["Prediction sets on the test split, approximate"] == [["lac", "0.9", HALF, HALF]]
    assert next(rows for title, rows in found.items() if "Abstention" in title)[0][1:] == ["0.7500", None]
    (title,) = (title for title in found if title.startswith("Networks that run."))
    assert "0.9900 times that of all members together (cross-fitted; 0.9800 on the test split)" in title
    assert found[title] == [["a", "1.0000"], ["b", "0.2500"]]
    assert found["Milliseconds per call; dense: if all networks run"] == [[1, *["2.0"] * 6]]


def test_what_there_is_nothing_of_has_no_table() -> None:
    nothing = {"metrics": {}, "cross_fitted": {}, "per_class": [], "mistakes": []}
    assert tables({**MEMBER, **nothing}) == []
    titles = [title for title, *_ in tables({**ENSEMBLE, **nothing, "calibration": None, "weights": None})]
    assert titles[0] == "Cross-fitted gains" and titles[1] == "Members"


def test_what_the_members_are_together() -> None:
    equivalent = {"value": 2.5, "note": ""}
    measures = {"mutual_information": SCORE["accuracy"], "deep_ensemble_equivalent": equivalent}
    rows = next(
        rows for title, _, rows in tables({**ENSEMBLE, **measures}) if title.startswith("Members together")
    )
    assert rows == [
        ["mutual information of class and member, nats", HALF],
        ["candidates with equal weights and the same calibrated log_loss", "2.50"],
    ]
    none = {"deep_ensemble_equivalent": {"value": None, "note": "worse than one member on average"}}
    rows = next(
        rows for title, _, rows in tables({**ENSEMBLE, **none}) if title.startswith("Members together")
    )
    assert rows == [
        ["candidates with equal weights and the same calibrated log_loss", "worse than one member on average"]
    ]


def test_names_with_line_breaks_and_control_characters_stay_on_one_line() -> None:
    bad = "a\n# b\x1b[31m"
    each = {"sample_id": bad, "label": bad, "votes": {bad: 1}, "disagreement": 0.5}
    classes = [{**MEMBER["per_class"][0], "class": bad}]
    shown = tables({**ENSEMBLE, "per_class": classes, "disagreement": [each]})
    texts = [cell for _, _, rows in shown for row in rows for cell in row if isinstance(cell, str)]
    assert r"a\n# b\x1b[31m" in texts and all(text.isprintable() for text in texts)
