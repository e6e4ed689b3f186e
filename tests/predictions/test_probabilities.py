"""Scores at the entrance: percentages, rounded rows, zeros, one column, and logits that are probabilities."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from committee.combiners.base import build
from committee.errors import DataError
from committee.metrics.classification import evaluate
from committee.predictions.files.base import read
from committee.predictions.reading import Reading
from committee.predictions.table import Predictions

RANDOM = np.random.default_rng(0)


def made(values: Any, **rest: Any) -> Predictions:
    array = np.asarray(values)
    names = [f"c{place}" for place in range(array.shape[-1])]
    return Predictions.from_probabilities(array, members=["knn"], class_names=names, **rest)


def sentence(act: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        act()
    return str(caught.value)


def file(folder: Path, text: str) -> Path:
    path = folder / "m.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("classes", "digits"), [(3, 1), (10, 2), (100, 3), (1000, 3), (1000, 4)])
@pytest.mark.parametrize("percent", [False, True])
def test_rounded_rows_are_read_and_unnormalized_ones_refused(
    classes: int, digits: int, percent: bool
) -> None:
    probabilities = RANDOM.dirichlet(np.full(classes, 0.1), 30)
    rounded = np.round(probabilities, digits) * (100 if percent else 1)
    found = np.exp(made(rounded).logits[0])
    close = np.abs(found / found.sum(axis=1, keepdims=True) - probabilities)
    assert close.max() <= 0.5 * 10.0**-digits * classes
    for wrong in (rounded * 1.7, rounded - 0.01 * rounded.max(), np.where(rounded > 0, np.nan, rounded)):
        assert "expected non-negative probabilities that sum to 1" in sentence(
            lambda wrong=wrong: made(wrong)
        )


def test_zeros_are_named_and_do_not_decide_an_average_of_logarithms(caplog: pytest.LogCaptureFixture) -> None:
    labels = RANDOM.integers(0, 3, 400)
    votes = np.stack([RANDOM.multinomial(5, np.where(np.arange(3) == k, 0.6, 0.2)) for k in labels]) / 5
    soft = RANDOM.dirichlet(np.ones(3), 400) * 0.5 + 0.5 * np.eye(3)[labels]
    with caplog.at_level(logging.INFO):
        knn = made(votes, labels=labels)
    zeros = (votes == 0).sum()
    assert caplog.messages == [
        f"knn: {zeros} of 1200 probabilities are exactly 0: those below 1e-06 are read as 1e-06"
    ]
    assert np.exp(knn.logits).min() == pytest.approx(1e-6)
    rows = Predictions.join(
        [knn, Predictions.from_probabilities(soft, members=["b"], class_names=knn.class_names)]
    )
    found = {
        name: evaluate(build(name).fit(rows).combine(rows.logits), labels, ["log_loss"])["log_loss"]
        for name in ("logit_averaging", "soft_voting")
    }
    assert found["logit_averaging"] < found["soft_voting"] + 0.15  # with logarithms near -87, 0.5 more


def test_small_probabilities_without_zeros_stay() -> None:
    assert made([[1 - 1e-30, 1e-30]]).logits[0, 0, 1] == pytest.approx(np.log(1e-30))


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("id,p1\na,0.25\nb,1\n", [0.25, 1]),
        ("id,malignant\na,25\nb,100\n", [0.25, 1]),
        ("id,p0,p1\na,75%,25%\nb,0%,100%\n", [0.25, 1]),
        ("id,p0,p1\na,75,25\nb,0,100\n", [0.25, 1]),
        ("id,prob_1,prob_0\na,.25,.75\nb,1,0\n", [0.25, 1]),
    ],
)
def test_one_column_and_percentages(tmp_path: Path, text: str, second: list[float]) -> None:
    found = read(file(tmp_path, text), "m")
    assert found.class_names == ("0", "1")
    values = np.exp(found.logits[0])
    np.testing.assert_allclose((values / values.sum(axis=1, keepdims=True))[:, 1], second, atol=1e-5)


def test_one_column_of_logits_and_one_that_is_neither(tmp_path: Path) -> None:
    path = file(tmp_path, "id,p1\na,-3\nb,140\n")
    assert sentence(lambda: read(path, "m")) == (
        f"{path}: expected one probability of each row, from 0 to 1, got -3 in 2 rows. "
        "Say that they are logits: --values-are logits."
    )
    assert read(path, "m", Reading(values_are="logits")).logits[0].tolist() == [[0, -3], [0, 140]]


def test_probabilities_among_logits_are_refused_and_both_advices_work(tmp_path: Path) -> None:
    probabilities = np.round(RANDOM.dirichlet(np.ones(3), 20), 4).astype(np.float32)
    np.savez(tmp_path / "m.npz", ids=np.arange(20), logits=probabilities)
    assert sentence(lambda: read(tmp_path / "m.npz", "m")) == (
        f"{tmp_path / 'm.npz'}: expected logits, got probabilities: each of the 20 rows is from 0 to 1 and "
        "sums to 1. Give them as probabilities (probs in NPZ and safetensors, --values-are probabilities, "
        "Predictions.from_probabilities); if they are logits, subtract 1 from all of them, "
        "which changes nothing else, or say --values-are logits."
    )
    for what, expected in (("probabilities", np.log(probabilities)), ("logits", probabilities)):
        found = read(tmp_path / "m.npz", "m", Reading(values_are=what)).logits[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    names = {"members": ["m"], "class_names": ["x", "y", "z"]}
    assert Predictions.from_logits(probabilities - 1, **names).logits.shape == (1, 20, 3)
    one_hot = np.eye(3)[RANDOM.integers(0, 3, 20)]
    assert Predictions.from_logits(one_hot, **names).logits.max() == 1  # the logits 0 and 1 are possible
