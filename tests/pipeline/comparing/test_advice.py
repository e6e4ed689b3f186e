"""The file to deploy: within a budget by latency and size of the files, and in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from committee.pipeline.comparing.advice import Budget, advise
from committee.pipeline.comparing.row import Row
from committee.pipeline.comparing.table import comparison_table
from committee.pipeline.shared.summary import Table
from committee.store.layout import Store

TEST = "the test split"
FACTS = {
    "split": "cross_fitted",
    "n": 0,
    "format": "onnx",
    "runtime": "onnxruntime",
    "device": "cpu",
    "images": "images of the data set",
    "text": "Deploy it.",
    "students": ["A student."],
}


def score(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def test_the_best_without_a_budget(store: Store, rows: list[Row]) -> None:
    advice = advise(store, rows, Budget(), TEST)
    assert advice.row is rows[0]
    assert advice.text == (
        "Deploy deploy/best/onnx/model.onnx: best, the best choice. It takes 30.00 ms for an image (95% of "
        "the calls take at most 60.00 ms), 80 MB of memory and 40.00 MB on disk, and has an accuracy "
        "of 0.9300 [0.9100, 0.9500] and a log-loss of 0.3000 [0.2800, 0.3200] on the test split. No other "
        "compared model is better in cross-fitted log-loss by more than noise. Against single, the best "
        "single network: +1.00 points of accuracy [-1.00, +3.00] and -0.1000 in log-loss [-0.1200, -0.0800]."
    )


@pytest.mark.parametrize(("accuracy", "loss"), [(-0.021, -0.1), (0.1, 0.021), (-0.019, 0.019)])
def test_a_warning_if_the_choice_is_worse_than_a_single_network_on_the_test_split(
    store: Store, rows: list[Row], accuracy: float, loss: float
) -> None:
    found = {"accuracy": score(accuracy), "log_loss": score(loss)}
    text = advise(store, [replace(rows[0], differences={"single": found}), *rows[1:]], Budget(), TEST).text
    assert text.endswith("look for the reason before you deploy it.") == (0.019 not in (accuracy, loss))


def test_what_is_given_up_within_a_budget(store: Store, rows: list[Row]) -> None:
    advice = advise(store, rows, Budget(max_latency_ms=20, max_size_mb=50), TEST)
    assert advice.row is rows[1]
    assert advice.text.startswith(
        "Deploy deploy/fast/onnx/model.onnx: fast, the best choice within the budget (20 ms, 50 MB). "
    )
    assert "Given up against best, the best model without a budget: +1.00 points of accuracy" in advice.text
    assert "best takes 30.00 ms for an image and 40.00 MB." in advice.text


@pytest.mark.parametrize(
    ("budget", "chosen"),
    [
        (Budget(max_latency_ms=30), 0),
        (Budget(max_latency_ms=29.9), 1),
        (Budget(max_size_mb=10), 2),
        (Budget(max_size_mb=10, max_latency_ms=5), 3),
        (Budget(min_accuracy=0.925), 0),
        (Budget(min_accuracy=0.925, max_latency_ms=20), None),
        (Budget(max_latency_ms=1), None),
    ],
)
def test_a_choice_is_within_the_budget_and_exact_if_possible(
    store: Store, rows: list[Row], budget: Budget, chosen: int | None
) -> None:
    advice = advise(store, rows, budget, TEST)
    assert advice.row is (None if chosen is None else rows[chosen])
    assert ("No other file is within the budget; what this one loses" in advice.text) == (chosen == 3)


@pytest.mark.parametrize(("lost", "is_taken"), [(0.02, True), (0.2, False)])
def test_a_file_of_lower_precision_competes_with_what_it_loses_on_held_out_rows(
    store: Store, rows: list[Row], make_row: Callable[..., Row], lost: float, is_taken: bool
) -> None:
    small = make_row("best", 0.30, 9.0, 11.0, exact=False, lost=lost, accuracy=0.93)
    advice = advise(store, [*rows, small], Budget(max_latency_ms=20), TEST)
    assert (advice.row is small) == is_taken
    assert [small.held_out(metric) for metric in small.metrics] == [0.93 - lost, 0.30 + lost]
    assert ("On held-out rows it loses 2.00 points of accuracy [0.00, 4.00]" in advice.text) == is_taken


def test_the_nearest_if_nothing_is_within_the_budget(store: Store, rows: list[Row]) -> None:
    assert advise(store, rows, Budget(max_latency_ms=1, max_size_mb=50), TEST).text == (
        "No compared model is within the budget (1 ms, 50 MB). The nearest is single (onnx_int8), which "
        "exceeds it in latency: deploy/single/onnx_int8/model.onnx takes 2.00 ms for an image and 3.00 MB, "
        "with a cross-fitted accuracy of 0.9000."
    )


def test_numbers_are_compared_by_their_error(store: Store, number_rows: list[Row]) -> None:
    assert advise(store, number_rows, Budget(), TEST).text == (
        "Deploy deploy/best/onnx/model.onnx: best, the best choice. It takes 30.00 ms for an image (95% of "
        "the calls take at most 60.00 ms), 80 MB of memory and 40.00 MB on disk, and has an RMSE of "
        "0.3000 [0.2800, 0.3200] on the test split. No other compared model is better in cross-fitted RMSE "
        "by more than noise. Against single, the best single network: -0.1000 in RMSE [-0.1200, -0.08000]."
    )
    lossy = advise(store, number_rows, Budget(max_latency_ms=5), TEST)
    assert lossy.row is number_rows[-1]
    assert "On held-out rows its RMSE is 5.26% larger [0.00%, 10.53%] than that of the file" in lossy.text
    facts = {**FACTS, "rows": [{**row.to_json(), "over": []} for row in number_rows]}
    (scores, *_) = comparison_table(facts)
    assert isinstance(scores, Table)
    assert scores.columns == ["name", "kind", "RMSE", "MAE", "R2", "networks' worth"]
    assert scores.rows[0][2:5] == ["0.3000 [0.2800, 0.3200]", "0.2000", "0.9000"]


def test_the_tables(rows: list[Row]) -> None:
    worse = {**rows[2].to_json(), "deep_ensemble_equivalent": {"value": None, "note": "too bad"}, "over": []}
    busy = {**rows[0].to_json(), "over": ["latency", "size"]}
    busy["latency_ms"]["32"] |= {"steady": False, "spread": 0.5}
    facts = {**FACTS, "rows": [busy, worse]}
    scores, reason, costs, unsteady, student, text = comparison_table(facts)
    assert isinstance(scores, Table) and isinstance(costs, Table)
    assert scores.title == "Scores on out-of-fold rows (there is no test split)"
    assert scores.rows[0] == ["best", "weighted", "0.9300 [0.910, 0.950]", "0.3000", "0.0500", "2.5"]
    assert (scores.rows[1][-1], reason) == ("-", "- single: too bad.")
    assert costs.rows[0] == [
        "best",
        "30.00",
        "60.00",
        "~30.00",
        "60.00",
        "50%",
        "90",
        "40.00",
        "12",
        "over: latency, size",
    ]
    assert str(unsteady).startswith("~ The rounds") and [student, text] == ["A student.", "\nDeploy it."]
