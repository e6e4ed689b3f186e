"""Metrics that are functions of the user: their names, intervals and influences."""

from __future__ import annotations

import numpy as np
import pytest

from committee.base.objectives import is_custom
from committee.metrics.classification import evaluate, get_metric
from committee.metrics.confidence import intervals
from committee.metrics.summaries import Rows

NAME = "python:sklearn.metrics.log_loss"


def predicted(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 3, rows - 3), [0, 1, 2])
    logits = rng.normal(size=(rows, 3)) + 1.5 * np.eye(3)[labels]
    return logits - np.logaddexp.reduce(logits, axis=1)[:, None], labels


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python:a.f", True),
        ("python:a.b.f", True),
        ("python:a.b:f", True),
        ("python:f", False),
        ("python:", False),
        ("python:a..f", False),
        ("a.f", False),
    ],
)
def test_the_form_of_names(name: str, expected: bool) -> None:
    assert is_custom(name) is expected


def test_agrees_with_the_same_metric_by_name() -> None:
    log_probs, labels = predicted(400)
    found = evaluate(log_probs, labels, [NAME, "log_loss"])
    assert found[NAME] == pytest.approx(found["log_loss"], abs=1e-9)
    assert not get_metric(NAME).higher_is_better
    own, known = intervals(log_probs, labels, names=[NAME, "log_loss"]).values()
    assert own.high - own.low == pytest.approx(known.high - known.low, rel=0.35)
    groups = np.arange(400) // 4
    repeated = np.repeat(log_probs[::4], 4, axis=0), np.repeat(labels[::4], 4)
    wide = intervals(*repeated, groups=groups, names=[NAME])[NAME]
    narrow = intervals(*repeated, names=[NAME])[NAME]
    assert (wide.high - wide.low) > 1.5 * (narrow.high - narrow.low)


def test_influences_have_the_variance_of_the_metric() -> None:
    log_probs, labels = predicted(1000)
    rows = Rows.read(log_probs, labels)
    own, known = (get_metric(name).influence(rows) for name in (NAME, "log_loss"))
    assert own.sum() == pytest.approx(0, abs=1e-6)
    assert own.std() == pytest.approx(known.std(), rel=0.3)
    few = Rows.read(log_probs[-40:], labels[-40:])
    own, known = (get_metric(name).influence(few) for name in (NAME, "log_loss"))
    np.testing.assert_allclose(own, known, atol=1e-6)


def test_one_row_has_no_interval() -> None:
    name = "python:operator.is_not"
    found = intervals(np.log([[0.5, 0.5]]), [0], names=[name])[name]
    assert (found.value, found.low, found.high) == (1.0, -np.inf, np.inf)
