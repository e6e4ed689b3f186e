"""All metrics at once, compared with torchmetrics and scikit-learn: 50,000 rows of 100 classes.

torchmetrics is measured twice: each metric alone, and as a collection that shares its counts, which is its
fastest mode; once with the area under the ROC curve, which needs sorting, and once without. The numbers are
compared before the measurement. One thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from harness import Row, absent, compare, installed, main
from numpy.typing import NDArray
from sklearn import metrics as sk

from committee.metrics.classification import METRICS, evaluate

ALL, ONE_PASS = "all metrics", "all metrics but AUROC"
NAMES = [name for name in METRICS if name != "auroc"]
Figures = dict[str, float]
Call = Callable[[], Figures]


def draw(rows: int, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return log-probabilities of a model with an accuracy of about one half, and labels."""
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, rows)
    logits = 2 * random.standard_normal((rows, classes), np.float32)
    logits[np.arange(rows), labels] += 5
    return torch.from_numpy(logits).log_softmax(dim=1).numpy(), labels


def with_sklearn(log_probs: NDArray[np.float32], labels: NDArray[np.int64]) -> Call:
    """Return a function that computes the metrics of scikit-learn."""

    def call() -> Figures:
        probabilities, predicted = np.exp(log_probs), log_probs.argmax(axis=1)
        found = {
            "accuracy": sk.accuracy_score(labels, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
            "log_loss": sk.log_loss(labels, probabilities),
        }
        for average in ("macro", "weighted"):
            three = sk.precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)
            for name, value in zip(("precision", "recall", "f1"), three[:3], strict=True):
                found[f"{name}_{average}"] = value
        return found

    return call


def with_torchmetrics(
    log_probs: NDArray[np.float32], labels: NDArray[np.int64], *, shared: bool, area: bool
) -> Call:
    """Return a function that computes the metrics of torchmetrics from given probabilities."""
    from torchmetrics import MetricCollection
    from torchmetrics import classification as tm

    classes, tensors = log_probs.shape[1], (torch.from_numpy(log_probs).exp(), torch.from_numpy(labels))
    kinds = {"precision": tm.MulticlassPrecision, "recall": tm.MulticlassRecall, "f1": tm.MulticlassF1Score}
    named: dict[str, Any] = {
        "accuracy": tm.MulticlassAccuracy(classes, average="micro"),
        "balanced_accuracy": tm.MulticlassAccuracy(classes, average="macro"),
        "ece": tm.MulticlassCalibrationError(classes, n_bins=15),
    }
    for average in ("macro", "weighted"):
        for name, kind in kinds.items():
            named[f"{name}_{average}"] = kind(classes, average=average)
    if area:
        named["auroc"] = tm.MulticlassAUROC(classes)
    collection = MetricCollection(named, compute_groups=shared)

    def call() -> Figures:
        collection.reset()
        collection.update(*tensors)
        return {name: float(value) for name, value in collection.compute().items()}

    return call


def check(ours: Figures, theirs: Figures) -> None:
    """Fail unless both give the same numbers."""
    for name, value in theirs.items():
        if abs(value - ours[name]) > 1e-4:
            raise SystemExit(f"{name} is {value:.6f}, committee has {ours[name]:.6f}")


def measure(quick: bool) -> list[Row]:
    """Compare with each peer in alternation."""
    rows, rounds = (2000, 2) if quick else (50_000, 20)
    data = draw(rows, 100)
    work = f"{rows:,} x 100, 1 thread"
    peers = [
        (
            ALL,
            "torchmetrics, counts shared",
            "torchmetrics",
            partial(with_torchmetrics, shared=True, area=True),
            10,
        ),
        (
            ONE_PASS,
            "torchmetrics, each metric alone",
            "torchmetrics",
            partial(with_torchmetrics, shared=False, area=False),
            10,
        ),
        (
            ONE_PASS,
            "torchmetrics, counts shared",
            "torchmetrics",
            partial(with_torchmetrics, shared=True, area=False),
            None,
        ),
        (ONE_PASS, "scikit-learn", "sklearn", with_sklearn, None),
    ]
    answers = []
    for question, peer, package, make, target in peers:
        if not installed(package):
            answers.append(absent(question, work, peer, target, package))
            continue
        ours, theirs = partial(evaluate, *data, list(METRICS) if question == ALL else NAMES), make(*data)
        check(ours(), theirs())
        note = f"same numbers; ours computes {len(ours())} metrics, {package} {len(theirs())} of them"
        allows_negative_weights = min(rounds, 5) if question == ALL else rounds
        answers.append(
            Row(question, work, peer, *compare(ours, theirs, allows_negative_weights), target, note)
        )
    return answers


if __name__ == "__main__":
    main(measure, packages=("torchmetrics",))
