"""The model to use, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from committee.errors import UnknownNameError
from committee.pipeline.shared import winner
from committee.pipeline.shared.best import best_models
from committee.recipe.model import CostBudget
from committee.report import recommendation
from committee.report.recommendation import Recommendation, recommend
from committee.store.layout import Store


def report(name: str, loss: float, ms: float, *, kind: str = "ensemble", **more: Any) -> dict[str, Any]:
    score = {"value": loss, "low": loss - 0.02, "high": loss + 0.02}
    return {
        "name": name,
        "kind": kind,
        "rows": "oof",
        "cross_fitted": {"log_loss": score},
        "gain": {},
        "latency_ms": {"median": ms},
        "size_mb": ms,
        **more,
    }


def gain(value: float, proven: bool = True, metric: str = "log_loss") -> dict[str, Any]:
    bounds = {"value": value, "low": value - 0.01, "high": value + 0.01, "proven": proven}
    return {metric: {**bounds, "against": "best single member (vit)"}}


VIT = report("vit", 0.4, 20, kind="member")
RESNET = report("resnet", 0.5, 5, kind="member")
FUSION = report("fusion", 0.3, 84, kind="member", of=["vit", "resnet"], gain=gain(0.1))
STACK = report("stack", 0.35, 25, gain=gain(0.05))
VOTE = report("vote", 0.39, 25, gain=gain(0.01, proven=False))
PAIR = report("pair", 0.44, 8, gain=gain(-0.04, proven=False))


def chosen(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    *reports: dict[str, Any],
    budget: CostBudget | None = None,
    metric: str = "log_loss",
) -> Recommendation:
    monkeypatch.setattr(recommendation, "read_reports", lambda store: list(reports))
    found = recommend(store, metric, budget)
    assert found is not None
    return found


def test_the_best_proven_gain(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(store, monkeypatch, VIT, RESNET, FUSION, STACK, VOTE) == Recommendation(
        "fusion",
        "Use fusion: log_loss 0.3000 [0.2800, 0.3200] cross-fitted, 84.0 ms for an image and 84.0 MB. "
        "It is better than the best single member (vit) by 0.1000 [0.0900, 0.1100].",
    )


def test_a_gain_over_poor_sources_is_no_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    over_poor = {"log_loss": {**gain(0.3)["log_loss"], "against": "best single member (poor)"}}
    soup = report("soup", 0.9, 5, kind="member", of=["poor", "worse"], gain=over_poor)
    poor = report("poor", 1.2, 5, kind="member")
    assert chosen(store, monkeypatch, VIT, VOTE, soup, poor).name == "vit"
    assert chosen(store, monkeypatch, soup, poor).name == "soup"
    monkeypatch.setattr("committee.pipeline.shared.best.read_reports", lambda store: [VIT, VOTE, soup, poor])
    assert best_models(store) == ["vote", "vit"]


def test_a_faster_model_within_noise_of_the_best(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = dict(zip(("fusion", "stack"), np.random.default_rng(0).normal(size=(2, 1000)), strict=True))
    monkeypatch.setattr(winner, "score_draws", lambda store, reports, metric: draws)
    assert chosen(store, monkeypatch, VIT, RESNET, FUSION, STACK, VOTE) == Recommendation(
        "stack",
        "Use stack: log_loss 0.3500 [0.3300, 0.3700] cross-fitted, 25.0 ms for an image and 25.0 MB. "
        "It is better than the best single member (vit) by 0.0500 [0.0400, 0.0600]. Its score is within "
        "noise of the best one, 0.3000 [0.2800, 0.3200] of fusion, which takes 84.0 ms for an image and "
        "84.0 MB.",
    )


def test_the_best_within_the_budget(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = CostBudget(max_latency_ms=30, max_size_mb=100)
    assert chosen(store, monkeypatch, VIT, RESNET, FUSION, STACK, VOTE, budget=budget) == Recommendation(
        "stack",
        "Use stack, the best model within the budget (30 ms, 100 MB): log_loss 0.3500 [0.3300, 0.3700] "
        "cross-fitted, 25.0 ms for an image and 25.0 MB. It is better than the best single member (vit) by "
        "0.0500 [0.0400, 0.0600].",
    )


def test_a_single_member_where_no_gain_is_proven(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(store, monkeypatch, VIT, RESNET, VOTE) == Recommendation(
        "vit",
        "Use vit, the best single member: log_loss 0.4000 [0.3800, 0.4200] cross-fitted, 20.0 ms for an "
        "image and 20.0 MB. No combination has a proven gain over it. The best of them, vote, has "
        "log_loss 0.3900 [0.3700, 0.4100] and takes 25.0 ms for an image and 25.0 MB.",
    )
    alone = chosen(store, monkeypatch, VIT, RESNET)
    assert alone.name == "vit" and alone.text.endswith("20.0 ms for an image and 20.0 MB.")


def test_a_budget_that_the_best_single_member_exceeds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = CostBudget(max_latency_ms=10)
    assert chosen(store, monkeypatch, VIT, RESNET, PAIR, STACK, budget=budget) == Recommendation(
        "pair",
        "Use pair, the best model within the budget (10 ms): log_loss 0.4400 [0.4200, 0.4600] cross-fitted, "
        "8.0 ms for an image and 8.0 MB. It is better than resnet, the best single member within the budget, "
        "by 0.06: their intervals do not overlap. It has no proven gain over the best single member (vit).",
    )
    free = chosen(store, monkeypatch, RESNET, PAIR)
    assert "better than resnet, the best single member, by 0.06: their" in free.text
    close = report("close", 0.47, 8, gain=gain(-0.07, proven=False))
    assert chosen(store, monkeypatch, VIT, RESNET, close, budget=budget).name == "resnet"
    no_single = chosen(store, monkeypatch, VIT, PAIR, budget=budget)
    assert no_single.name == "pair" and "MB. No single member is within the budget." in no_single.text


def test_a_combination_without_proven_gain_or_of_one_member_is_not_recommended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    unproven = report("unproven", 0.1, 25, gain=gain(0.01, proven=False))
    assert chosen(store, monkeypatch, VIT, RESNET, unproven).name == "vit"
    alone = report("alone", 0.1, 20, members=["vit"], gain=gain(0.3))
    found = chosen(store, monkeypatch, VIT, alone)
    assert found.name == "vit" and "alone" not in found.text and "combination" not in found.text
    assert chosen(store, monkeypatch, VIT, RESNET, alone, STACK).name == "stack"


def test_a_budget_that_all_models_exceed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    small = report("small", 0.6, 30, size_mb=1.0)
    assert chosen(store, monkeypatch, VIT, small, budget=CostBudget(max_latency_ms=2.5)) == Recommendation(
        None,
        "No model is within the budget (2.5 ms). The fastest, vit, takes 20.0 ms for an image and 20.0 MB. "
        "The smallest, small, takes 30.0 ms for an image and 1.0 MB.",
    )


def test_scores_of_other_rows_are_not_compared(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = report("elsewhere", 0.1, 5, rows="val", gain=gain(0.3))
    unscored = report("unscored", 0.1, 5, cross_fitted={})
    assert chosen(store, monkeypatch, VIT, elsewhere, unscored).name == "vit"


def test_other_metrics(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (VIT, STACK):
        accuracy = {"value": 0.9, "low": 0.8, "high": 0.95}
        monkeypatch.setitem(each["cross_fitted"], "accuracy", accuracy)
    monkeypatch.setitem(STACK, "gain", gain(0.02, metric="accuracy"))
    assert "accuracy 0.9000" in chosen(store, monkeypatch, VIT, STACK, metric="accuracy").text
    monkeypatch.setitem(STACK, "gain", {})
    assert chosen(store, monkeypatch, VIT, STACK, metric="accuracy").text.endswith(
        " Gains of combinations are not evaluated for accuracy. The best of them, stack, has accuracy 0.9000 "
        "[0.8000, 0.9500] and takes 25.0 ms for an image and 25.0 MB."
    )
    monkeypatch.setattr(recommendation, "read_reports", lambda store: [STACK])
    assert recommend(store, "ece") is None
    with pytest.raises(UnknownNameError):
        recommend(store, "acuracy")


def test_nothing_to_recommend(store: Store) -> None:
    assert recommend(store) is None
