"""Durations as text, and deadlines with a clock of the test."""

from __future__ import annotations

import math
import pickle

import pytest

from committee.base.deadline import Deadline, current, in_effect, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("8h", 28800),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2d", 172800),
        ("1.5H", 5400),
        ("45", 45),
        ("inf", math.inf),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "8 hours", "h", "-1h", "0", "0s", "nan", "1m2h", "1e3", "٣h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration above zero, such as 90s, 30m, 8h or 1h30m"):
        seconds_of(text)


def test_a_deadline_is_over_by_its_clock() -> None:
    now = [0.0]
    deadline = Deadline(10, lambda: now[0])
    assert deadline.is_set and deadline.left() == 10 and not deadline.is_over()
    now[0] = 10
    assert deadline.is_over()
    assert not Deadline().is_over() and not Deadline().is_set


def test_a_deadline_holds_in_other_processes_and_within_its_block() -> None:
    deadline = Deadline(7.0)
    assert pickle.loads(pickle.dumps(deadline)) == deadline
    with in_effect(deadline):
        assert current() is deadline
    assert not current().is_set
