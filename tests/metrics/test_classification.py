"""Metrics agree with scikit-learn for any order of rows, and need no memory quadratic in classes."""

from __future__ import annotations

import math
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from committee.errors import DataError, UnknownNameError
from committee.metrics.classification import METRICS, confusion, evaluate, get_metric, mistakes, per_class
from committee.metrics.confidence import intervals
from committee.metrics.ranking import Ranking
from committee.metrics.summaries import Rows, summary

Floats = NDArray[np.floating[Any]]


def draw(rows: int, classes: int, seed: int = 0, sharp: float = 2.0) -> tuple[Floats, NDArray[np.int64]]:
    """Log-probabilities that are mostly right, and labels that include every class."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(rows) % classes)
    logits = random.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += 1
    logits *= sharp
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), labels


def sklearn_metrics(log_probs: Floats, labels: NDArray[np.int64]) -> dict[str, float]:
    probabilities, predicted = np.exp(log_probs.astype(float)), log_probs.argmax(axis=1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    classes = list(range(log_probs.shape[1]))
    found = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "log_loss": sk.log_loss(labels, probabilities, labels=classes),
        "brier": float(((probabilities - np.eye(len(classes))[labels]) ** 2).sum(axis=1).mean()),
    }
    for name in ("f1", "precision", "recall"):
        for average in ("macro", "weighted"):
            score: Callable[..., float] = getattr(sk, f"{name}_score")
            found[f"{name}_{average}"] = score(labels, predicted, average=average, zero_division=0)
    scores = probabilities[:, 1] if len(classes) == 2 else probabilities
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found["auroc"] = sk.roc_auc_score(labels, scores, multi_class="ovr", labels=classes)
    confidence, correct = probabilities.max(axis=1), predicted == labels
    for name, strategy in (("ece", "uniform"), ("ece_mass", "quantile")):
        found[name] = _sklearn_ece(confidence, correct, strategy)
    return found


def _sklearn_ece(confidence: Floats, correct: NDArray[np.bool_], strategy: str) -> float:
    """Weight the reliability curve of scikit-learn by the sizes of its bins, which it does not return."""
    true, mean = calibration_curve(correct, confidence, n_bins=15, strategy=strategy)
    edges = (
        np.linspace(0, 1, 16)
        if strategy == "uniform"
        else np.percentile(confidence, np.linspace(0, 1, 16) * 100)
    )
    sizes = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=15)
    return float((np.abs(true - mean) * sizes[sizes > 0]).sum() / len(confidence))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "classes"), [(200, 2), (301, 3), (1000, 10), (5000, 40)])
def test_agrees_with_scikit_learn(rows: int, classes: int, kind: type) -> None:
    log_probs, labels = draw(rows, classes)
    log_probs = log_probs.astype(kind)
    expected, found = sklearn_metrics(log_probs, labels), evaluate(log_probs, labels)
    assert found.keys() == METRICS.keys() == expected.keys() | {"aurc", "augrc"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=2e-6), name


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(5, 60))
@settings(max_examples=40, deadline=None)
def test_agrees_with_scikit_learn_on_few_rows(seed: int, classes: int, rows: int) -> None:
    log_probs, _ = draw(rows, classes, seed)
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    if len(np.unique(labels)) < 2:
        labels[:2] = [0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sklearn_metrics(log_probs, labels)
    found = evaluate(log_probs, labels)
    for name, value in expected.items():
        # An edge of bins of equal mass that is the confidence of a row is rounded differently.
        rounded = name == "ece_mass" and math.gcd(rows - 1, 15) > 1
        if not rounded and not (name == "auroc" and len(np.unique(labels)) < classes):
            assert found[name] == pytest.approx(value, abs=1e-9), name


def test_a_class_without_labels_is_not_in_the_auroc() -> None:
    log_probs, _ = draw(30, 3)
    labels = np.arange(30) % 2
    found = evaluate(log_probs, labels)
    expected = [sk.roc_auc_score(labels == each, log_probs[:, each]) for each in (0, 1)]
    assert found["auroc"] == pytest.approx(np.mean(expected))
    assert all(np.isfinite(value) for value in found.values())
    assert np.isnan(evaluate(log_probs, np.zeros(30, int))["auroc"])


def test_auroc_counts_ties_as_half() -> None:
    probabilities = np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8], [0.9, 0.1]])
    labels = np.array([0, 1, 1, 0])
    expected = sk.roc_auc_score(labels, probabilities[:, 1])
    assert evaluate(np.log(probabilities), labels, ["auroc"]) == {"auroc": pytest.approx(expected)}


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    log_probs, labels = draw(300, 4, seed)
    log_probs = np.log(np.round(np.exp(log_probs), 1).clip(0.05))
    log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
    order = np.random.default_rng(seed).permutation(300)
    found, again = evaluate(log_probs, labels), evaluate(log_probs[order], labels[order])
    assert found == pytest.approx(again, abs=1e-12)


@given(st.permutations(range(5)), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_relabelling_classes_does_not_matter(classes: list[int], seed: int) -> None:
    log_probs, labels = draw(300, 5, seed)
    again = evaluate(log_probs[:, classes], np.argsort(classes)[labels])
    assert evaluate(log_probs, labels) == pytest.approx(again, abs=1e-12)


def test_extremes() -> None:
    labels = np.arange(12) % 3
    sure = np.log(np.eye(3)[labels].clip(1e-30))
    found = evaluate(sure, labels)
    for name, value in found.items():
        assert value == pytest.approx(1.0 if get_metric(name).higher_is_better else 0.0), name
    assert evaluate(sure, (labels + 1) % 3, ["log_loss", "brier", "ece"]) == {
        "log_loss": pytest.approx(30 * np.log(10)),
        "brier": pytest.approx(2.0),
        "ece": pytest.approx(1.0),
    }


def test_infinite_loss_is_said() -> None:
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array([[1.0, 0.0], [0.5, 0.5]]))
    assert evaluate(log_probs, [1, 0], ["log_loss"]) == {"log_loss": np.inf}


def test_confusion_and_classes_agree_with_scikit_learn() -> None:
    log_probs, labels = draw(500, 4)
    found, predicted = summary(log_probs, labels), log_probs.argmax(axis=1)
    expected = sk.confusion_matrix(labels, predicted)
    np.testing.assert_array_equal(confusion(found), expected)
    wrong = mistakes(found, 3)
    np.fill_diagonal(expected, 0)
    assert wrong[:, 2].tolist() == sorted(expected.ravel(), reverse=True)[:3]
    assert wrong[:, 2].tolist() == expected[wrong[:, 0], wrong[:, 1]].tolist()
    report = sk.classification_report(labels, predicted, target_names=list("abcd"), output_dict=True)
    for row in per_class(found, list("abcd")):
        theirs = report[row["class"]]
        assert row["n"] == theirs["support"]
        assert row["precision"] == pytest.approx(theirs["precision"])
        assert row["recall"] == pytest.approx(theirs["recall"])
        assert row["f1"] == pytest.approx(theirs["f1-score"])


def test_the_auroc_is_as_wide_as_that_of_a_bootstrap() -> None:
    log_probs, labels = draw(300, 2, sharp=0.5)
    random, draws = np.random.default_rng(1), []
    for _ in range(1500):
        rows = random.integers(0, 300, 300)
        draws.append(evaluate(log_probs[rows], labels[rows], ["auroc"])["auroc"])
    influence = METRICS["auroc"].influence(Rows.read(log_probs, labels))
    assert influence.std() / 300**0.5 == pytest.approx(np.std(draws), rel=0.08)
    found = intervals(log_probs, labels, names=["auroc"])["auroc"]
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(draws), rel=0.08)


@pytest.mark.parametrize("decimals", [1, 6])
def test_influence_is_the_derivative_of_the_area(decimals: int) -> None:
    """Duplicating a row changes the area by its influence, with and without ties."""
    log_probs, labels = draw(600, 3)
    log_probs = np.round(log_probs, decimals)
    ranking = Ranking(log_probs, labels)
    assert ranking.influence.sum() == pytest.approx(0, abs=1e-9)
    for row in (0, 1, 7):
        more = np.append(np.arange(600), row)
        step = Ranking(log_probs[more], labels[more]).area - ranking.area
        assert step == pytest.approx(ranking.influence[row] / 601, abs=2e-5)


@pytest.mark.parametrize("name", METRICS)
def test_the_influence_of_a_row_is_the_change_by_its_copy(name: str) -> None:
    log_probs, labels = draw(600, 4, sharp=0.7)
    rows, metric = Rows.read(log_probs, labels), METRICS[name]
    influence = metric.influence(rows)
    assert influence.sum() == pytest.approx(0, abs=1e-8)
    # The edges of bins of equal mass move with each row; the influence holds them constant.
    for row in () if name == "ece_mass" else (0, 1, 7, 70):
        more = np.append(np.arange(600), row)
        step = metric.function(summary(log_probs[more], labels[more])) - metric.function(rows.whole)
        assert step == pytest.approx(influence[row] / 601, abs=2e-5), row


def test_nothing_is_quadratic_in_classes() -> None:
    """With 100,000 classes, a confusion matrix would be 80 GB."""
    classes, rows = 100_000, 40
    labels = np.arange(rows) % 30
    guess = np.where(np.arange(rows) % 4, labels, 77_777)
    log_probs = np.full((rows, classes), np.log(0.1 / (classes - 1)), np.float32)
    log_probs[np.arange(rows), guess] = np.log(0.9)
    tracemalloc.start()
    found, values = summary(log_probs, labels), evaluate(log_probs, labels)
    found_intervals = intervals(log_probs, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * log_probs.nbytes
    assert values["accuracy"] == found_intervals["accuracy"].value == 0.75
    assert mistakes(found)[0].tolist() == [0, 77_777, 1]
    with pytest.raises(DataError) as caught:
        confusion(found)
    assert str(caught.value) == (
        "confusion: expected at most 4,096 classes, got 100,000. Use committee.metrics.mistakes, which lists "
        "the cells that are not zero."
    )


@pytest.mark.parametrize(
    ("log_probs", "labels", "message"),
    [
        (
            np.zeros((3, 2)),
            [0, 1, 1],
            "log-probabilities, got a row whose exponentials sum to 2. Normalize logits with log_softmax.",
        ),
        (
            np.full((1, 2), np.nan),
            [0],
            "log-probabilities, got a row whose exponentials sum to nan. Normalize logits with log_softmax.",
        ),
        (np.log([[0.5, 0.5]]), [2], "labels from 0 to 1, got '2'."),
        (np.log([[0.5, 0.5]]), [-1], "labels from 0 to 1, got '-1'."),
        (np.log([[0.5, 0.5]]), [0.5], "labels from 0 to 1, got an array of float64."),
        (np.log([[0.5, 0.5]]), [0, 1], "log-probabilities [N, C] and labels [N], got [1, 2] and [2]."),
        (np.zeros((0, 2)), [], "at least one row, got none."),
    ],
)
def test_bad_input(log_probs: Floats, labels: list[float], message: str) -> None:
    with pytest.raises(DataError) as caught:
        evaluate(log_probs, labels)
    assert str(caught.value) == f"metrics: expected {message}"


def test_unknown_metric() -> None:
    with pytest.raises(UnknownNameError) as caught:
        evaluate(np.log([[0.5, 0.5]]), [0], ["f1_makro"])
    assert str(caught.value) == (
        "metric: expected one of accuracy, balanced_accuracy, f1_macro, f1_weighted, precision_macro, "
        "precision_weighted, recall_macro, recall_weighted, log_loss, brier, ece, ece_mass, auroc, aurc, "
        "augrc, got 'f1_makro'. Did you mean 'f1_macro'?"
    )


@pytest.mark.parametrize("excess", [1e-7, 1e-5])
def test_rounding_above_one_stays_in_the_last_bin_of_its_own_row(excess: float) -> None:
    certain = np.log(np.array([[1 - 1e-6, 1e-6]] * 40))
    labels, groups = np.arange(40) % 20 == 0, np.arange(40)
    above = certain.copy()
    above[:, 0] = excess
    for name in ("ece", "ece_mass", "log_loss"):
        found = intervals(above, labels.astype(int), groups=groups, names=[name])[name]
        expected = intervals(certain, labels.astype(int), groups=groups, names=[name])[name]
        assert (found.value, found.low, found.high) == pytest.approx(
            (expected.value, expected.low, expected.high), abs=1e-4
        )
