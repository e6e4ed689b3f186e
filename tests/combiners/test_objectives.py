"""Weights and selections by any metric: the noted score is that of the rule, and functions of the user."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score

from committee.base.objectives import OBJECTIVES
from committee.combiners.base import Combiner, build, load, save
from committee.errors import CommitteeError, DataError
from committee.metrics.classification import evaluate, get_metric
from committee.predictions.table import Predictions
from committee.scoring.scores import score

FUNCTION = "python:sklearn.metrics.log_loss"
METRICS = (*OBJECTIVES, FUNCTION)


def quantized(seed: int, members: int = 4, rows: int = 40, classes: int = 3) -> Predictions:
    """Return probabilities with one decimal and repeated rows, so that sums of members are often tied."""
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, classes, rows), np.arange(classes))
    counts = rng.integers(1, 6, (members, len(labels), classes)).astype(float)
    counts[:, np.arange(len(labels)), labels] += rng.integers(0, 3, (members, len(labels)))
    probs = np.round(counts / counts.sum(axis=2, keepdims=True), 1) + 0.05
    twice = np.concatenate([np.arange(len(labels)), np.arange(rows // 2)])
    return Predictions.from_probabilities(
        (probs / probs.sum(axis=2, keepdims=True))[:, twice],
        members=[f"m{place}" for place in range(members)],
        class_names=list("abcdef")[:classes],
        labels=labels[twice],
    )


def value(rule: Combiner, rows: Predictions, metric: str) -> float:
    name = "log_loss" if metric == FUNCTION else metric
    assert rows.labels is not None
    return evaluate(rule.combine(rows.logits), rows.labels, [name])[name]


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(METRICS), st.integers(2, 4))
def test_the_noted_score_is_that_of_the_rule(seed: int, metric: str, classes: int) -> None:
    rows = quantized(seed, classes=classes)
    greedy = build({"combiner": "greedy_selection", "metric": metric, "rounds": 8}).fit(rows)
    noted = greedy.notes()["selections"][0][metric]
    assert noted == pytest.approx(value(greedy, rows, metric), abs=1e-6)
    for space in ("probability", "logit"):
        weighted = build({"combiner": "weighted", "metric": metric, "space": space}).fit(rows)
        notes = weighted.notes()
        if notes["search"] == "local":
            assert notes[metric] == pytest.approx(value(weighted, rows, metric), abs=1e-6)
    pruned = build({"combiner": "pruned", "metric": metric, "folds": 2}).fit(rows)
    chosen = pruned.notes()["chosen"]["members"]
    entry = next(each for each in pruned.notes()["path"] if each["members"] == chosen)
    assert entry["fit"] == pytest.approx(value(pruned, rows, metric), abs=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 3))
def test_ties_go_to_the_first_class_whatever_the_rounding(seed: int, bits: int) -> None:
    rows = quantized(seed)
    noise = np.random.default_rng(seed).normal(size=rows.logits.shape) * 2.0 ** (bits - 23)
    shifted = (rows.logits + noise).astype(np.float32) + np.float32(bits)
    for key in ("soft_voting", "logit_averaging", "weighted"):
        rule = build(key).fit(rows)
        one, other = (rule.combine(logits).argmax(axis=1) for logits in (rows.logits, shifted))
        np.testing.assert_array_equal(one, other)


@given(st.integers(0, 10_000), st.integers(1, 7))
def test_brier_weights_are_optimal(seed: int, members: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 60)
    logits = rng.normal(size=(members, 60, 3)) * 2 + np.eye(3)[labels] * 1.5
    rows = Predictions.from_logits(
        logits, members=[f"m{m}" for m in range(members)], class_names=list("xyz"), labels=labels
    )
    fitted = build({"combiner": "weighted", "metric": "brier"}).fit(rows)
    notes = fitted.notes()
    assert notes["search"] == "convex" and 0 <= notes["certificate"] <= 1e-6
    probs, truth = softmax(rows.logits.astype(np.float64), axis=2), np.eye(3)[labels]

    def brier(weight: np.ndarray) -> float:
        return float(((np.tensordot(weight, probs, 1) - truth) ** 2).sum(axis=1).mean())

    found = scipy_minimize(
        brier,
        np.full(members, 1 / members),
        bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    weights = fitted.member_weights()
    assert weights is not None
    assert brier(np.array(list(weights.values()))) <= found.fun + 2e-6


@pytest.mark.parametrize("metric", ["brier", "balanced_accuracy", "auroc"])
def test_each_metric_is_best_by_its_own_weights(metric: str) -> None:
    rows = quantized(3, rows=200)
    sign = 1 if get_metric(metric).higher_is_better else -1
    own = build({"combiner": "weighted", "metric": metric}).fit(rows)
    others = [build("weighted").fit(rows), build("soft_voting").fit(rows)]
    best = max(sign * value(other, rows, metric) for other in others)
    assert sign * value(own, rows, metric) >= best - 1e-9
    if metric == "balanced_accuracy":
        guess = own.combine(rows.logits).argmax(axis=1)
        assert own.notes()[metric] == pytest.approx(balanced_accuracy_score(rows.labels, guess))


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a function that writes a module of metrics, and returns the prefix of their names."""

    def write(text: str) -> str:
        name = f"metrics_{abs(hash(text))}"
        (tmp_path / f"{name}.py").write_text("import numpy as np\n" + text, encoding="utf-8")
        return f"python:{name}."

    monkeypatch.syspath_prepend(tmp_path)
    return write


def test_the_direction_of_a_function(functions: Callable[[str], str]) -> None:
    prefix = functions(
        "def right(labels, probs):\n"
        "    assert labels.dtype == np.int64 and np.allclose(probs.sum(axis=1), 1, atol=1e-12)\n"
        "    return (probs.argmax(axis=1) == labels).mean()\n"
        "def wrong(labels, probs):\n    return 1 - right(labels, probs)\n"
        "wrong.higher_is_better = False\n"
        "def zero_one_loss(labels, probs):\n    return 1 - right(labels, probs)\n"
    )
    rows = quantized(0)
    weights = [
        build({"combiner": "greedy_selection", "metric": f"{prefix}{name}", "rounds": 8}).fit(rows)
        for name in ("right", "wrong", "zero_one_loss")
    ]
    plain = build({"combiner": "greedy_selection", "metric": "accuracy", "rounds": 8}).fit(rows)
    for fitted in weights:
        assert fitted.member_weights() == plain.member_weights()
    assert weights[1].notes()["selections"][0][f"{prefix}wrong"] == pytest.approx(
        1 - plain.notes()["selections"][0]["accuracy"]
    )


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("", "f", "expected a function of MODULE, got 'f'."),
        (
            "def gain(y, p):\n    return 1\n",
            "gian",
            "expected a function of MODULE, got 'gian'. Did you mean 'gain'?",
        ),
        (
            "def f(y, p):\n    raise KeyError('x')\n",
            "f",
            "expected a finite number from 'python:MODULE.f', got KeyError: 'x' (for 63 rows). "
            "It is called with parts of the rows, such as those of one fold.",
        ),
        (
            "def f(y, p):\n    return float('nan')\n",
            "f",
            "expected a finite number from 'python:MODULE.f', got nan (for 63 rows). "
            "It is called with parts of the rows, such as those of one fold.",
        ),
        (
            "raise OSError('no disk')\n",
            "f",
            "expected 'python:MODULE.f' with a module that can be imported, got OSError: no disk. "
            "Install it, or put its folder on PYTHONPATH.",
        ),
    ],
)
def test_errors_of_functions(functions: Callable[[str], str], text: str, name: str, sentence: str) -> None:
    metric = functions(text) + name
    module = metric.removeprefix("python:").rpartition(".")[0]
    for key in ("weighted", "greedy_selection", "pruned"):
        with pytest.raises(CommitteeError) as caught:
            build({"combiner": key, "metric": metric}).fit(quantized(0))
        wanted = f"{key}.metric: {sentence}".replace("MODULE", module)
        if key != "pruned" or "rows" not in sentence:
            assert str(caught.value) == wanted


def test_absent_classes_are_named(functions: Callable[[str], str]) -> None:
    rows = quantized(0)
    part = rows.rows(np.flatnonzero(rows.labels != 1))
    metric = functions("def f(y, p):\n    return np.nan\n") + "f"
    with pytest.raises(CommitteeError, match="none of class '1'"):
        build({"combiner": "weighted", "metric": metric}).fit(part)
    one = rows.rows(np.flatnonzero(rows.labels == 1))
    with pytest.raises(DataError, match=r"^auroc: expected rows of at least two classes, got"):
        build({"combiner": "greedy_selection", "metric": "auroc"}).fit(one)


def test_a_stored_combiner_imports_nothing(functions: Callable[[str], str], tmp_path: Path) -> None:
    metric = functions("def f(y, p):\n    return p[0, 0]\n") + "f"
    rows = quantized(0)
    save(build({"combiner": "weighted", "metric": metric}).fit(rows), tmp_path)
    del sys.modules[metric.removeprefix("python:").rpartition(".")[0]]
    found = load(tmp_path)
    found.combine(rows.logits)
    assert found.options()["metric"] == metric
    assert metric.removeprefix("python:").rpartition(".")[0] not in sys.modules


def test_fitting_a_random_metric_proves_nothing(functions: Callable[[str], str]) -> None:
    """The metric is noise, so whatever is best by it is not better; the fit is part of the cross-fit."""
    metric = (
        functions("def f(y, p):\n    return int(1e9 * abs(p).sum(axis=0) @ [1, 2]) % 1009 / 1009\n") + "f"
    )
    proven = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rows = Predictions.from_logits(
            rng.normal(size=(6, 200, 2)),
            members=list("abcdef"),
            class_names=["x", "y"],
            labels=rng.integers(0, 2, 200),
        )
        rule = build({"combiner": "greedy_selection", "metric": metric, "rounds": 5})
        fitted, scores = score(rule, rows)
        best = fitted.notes()["selections"][0][metric]
        assert best > 0.9  # the fit has found something, which does not exist
        proven += scores.gain["accuracy"].proven
    assert proven <= 2
