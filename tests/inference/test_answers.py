"""The sentence about the guarantee of prediction sets, and sets of each kind for one image."""

from __future__ import annotations

import numpy as np
import pytest

from committee.cli import predict
from committee.errors import DataError
from committee.inference.answers import answers
from committee.metrics.conformal import METHODS
from committee.metrics.interval_table import KINDS
from committee.metrics.set_table import SetTable

NAMES = ["cat", "dog", "fox"]


def table(rows: int, groups: int | None = None, absent: int | None = None) -> dict[str, object]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, rows)
    if absent is not None:
        labels[labels == absent] = 0
    logits = random.normal(size=(rows, 3)) + 1.5 * np.eye(3)[labels]
    group = None if groups is None else np.arange(rows) % groups
    found = SetTable.of(logits, labels, rows="val", approximate=False, groups=group)
    return {"sets": found.to_json()}


def note(facts: dict[str, object], method: str, coverage: float = 0.9) -> str:
    return answers(NAMES, facts, "it", coverage=coverage, method=method).note


@pytest.mark.parametrize("method", ["lac", "aps", "raps"])
def test_what_is_promised_on_average(method: str) -> None:
    assert note(table(200), method) == (
        "Each set contains the true class with a probability of 0.9 (calibrated on 200 rows that no model "
        "was fitted on)."
    )
    assert note(table(200, groups=5), method) == (
        "Each set contains the true class with a probability of 0.9 (approximate: calibrated on 200 rows of "
        "only 5 groups; a guarantee needs 19)."
    )
    assert note(table(200), method, 0.999) == (
        "200 rows are too few for a coverage of 0.999: each set contains all classes."
    )
    assert note(table(200, groups=20), method, 0.98) == (
        "20 groups are too few for a coverage of 0.98: each set contains all classes."
    )


def test_what_is_promised_for_each_class() -> None:
    assert note(table(200), "classwise") == (
        "Each set contains the true class with a probability of 0.9, whichever class it is (calibrated on "
        "200 rows that no model was fitted on)."
    )
    assert note(table(200, absent=2), "classwise") == (
        "Each set contains the true class with a probability of 0.9, whichever class it is (calibrated on "
        "200 rows that no model was fitted on). Each set contains the classes of too few rows: 'fox'."
    )
    assert note(table(200, groups=20), "classwise") == (
        "Each set contains the true class with a probability of 0.9, whichever class it is (calibrated on "
        "200 rows of 20 groups that no model was fitted on; rows of one group are treated as independent)."
    )
    assert note(table(20), "classwise", 0.99) == (
        "20 rows are too few for a coverage of 0.99: each set contains all classes."
    )


def test_the_command_line_knows_all_kinds() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    (option,) = (each for each in parser._actions if each.dest == "sets")
    assert tuple(option.choices or ()) == (*METHODS, *KINDS)


@pytest.mark.parametrize("method", METHODS)
def test_the_set_of_an_image(method: str) -> None:
    rule = answers(NAMES, table(400), "it", coverage=0.9, method=method)
    assert rule.set_of(np.array([0.01, 0.98, 0.01], np.float32)) == ["dog"]
    assert rule.set_of(np.array([0.2, 0.43, 0.37], np.float32))[:2] == ["dog", "fox"]


def test_thresholds_of_other_classes() -> None:
    with pytest.raises(DataError) as caught:
        answers(["cat", "dog"], table(50), "model.onnx", coverage=0.9)
    assert str(caught.value) == "model.onnx: expected thresholds of 2 classes, got those of 3."
