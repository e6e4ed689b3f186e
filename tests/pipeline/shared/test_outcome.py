"""Outcomes: recorded failures, and the exit code that follows from them."""

from __future__ import annotations

import pytest

from committee.base import interrupt
from committee.errors import TrainingError
from committee.pipeline.shared.outcome import Outcome, reason


def test_an_error_is_recorded_and_the_stage_continues() -> None:
    outcome = Outcome()
    for name in ("a", "b", "c"):
        with outcome.attempt(name):
            if name == "b":
                raise TrainingError(name, expected="a finite loss", got="nan")
    assert outcome.done == ["a", "c"]
    assert outcome.failed == {"b": "b: expected a finite loss, got nan."}
    assert outcome.exit_code == 3


def test_an_interrupt_is_not_recorded() -> None:
    outcome = Outcome()
    with pytest.raises(KeyboardInterrupt), outcome.attempt("a"):
        raise KeyboardInterrupt
    assert outcome == Outcome()


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(done=["a"]), 0),
        (Outcome(failed={"a": "no"}), 1),
        (Outcome(done=["a"], failed={"b": "no"}), 3),
        (Outcome(done=["a"], quarantined={"x.png": "an empty file"}), 3),
    ],
)
def test_exit_codes(outcome: Outcome, code: int) -> None:
    assert outcome.exit_code == code


def test_outcomes_are_merged() -> None:
    outcome = Outcome(["a"])
    outcome.merge(Outcome(["a", "b"], {"c": "no"}, {"x": "bad"}, {"d": "no time"}))
    assert outcome.to_json() == {
        "done": ["a", "b"],
        "failed": {"c": "no"},
        "quarantined": {"x": "bad"},
        "unfinished": {"d": "no time"},
    }


def test_errors_of_other_packages_are_reduced_to_class_and_first_line() -> None:
    assert reason(RuntimeError("out of memory\ntried to allocate")) == "RuntimeError: out of memory"
    assert reason(ValueError()) == "ValueError"


def test_an_error_after_a_signal_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome()
    monkeypatch.setattr(interrupt, "requested", lambda: True)
    with pytest.raises(KeyboardInterrupt), outcome.attempt("resnet18"):
        raise ValueError("could not determine the shape of object type 'torch.storage.UntypedStorage'")
    assert not outcome.failed
