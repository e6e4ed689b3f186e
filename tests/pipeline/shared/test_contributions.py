"""Contributions of members within a budget of seconds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from committee.combiners.cascade import Cascade
from committee.pipeline.shared.build import _contributions
from committee.predictions.simulation import simulate
from committee.scoring.leave_one_out import contributions
from committee.scoring.scores import score


def test_what_takes_long_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = simulate({"a": 2.0, "b": 1.0}, rows=100)
    scores = score(Cascade(), rows)[1]
    context: Any = SimpleNamespace(predictions=rows, seed=0, contributions_budget=30.0)
    assert _contributions("cascade", Cascade(), scores, context) == contributions(Cascade(), rows)
    monkeypatch.setattr(Cascade, "seconds", lambda self, *sizes: 5.0)
    with caplog.at_level("INFO", logger="committee"):
        assert _contributions("cascade", Cascade(), scores, context) == {}
    assert caplog.messages == [
        "cascade: the contributions of its members are left out, since fits without each of 2 members take "
        "about 50 seconds. To compute them, raise runs.score_ensemble.contributions_budget or set it to null."
    ]
    context.contributions_budget = None
    assert set(_contributions("cascade", Cascade(), scores, context)) == {"a", "b"}
