"""The choice among methods: little regret on new rows, and no claim where no method can be better."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from committee.metrics.classification import evaluate
from committee.pipeline.combine import combine
from committee.predictions.table import Predictions

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "benchmarks"
METHODS = (
    "soft_voting",
    "logit_averaging",
    "weighted",
    {"combiner": "weighted", "space": "logit", "name": "weighted_logit"},
    "greedy_selection",
)


@pytest.fixture(scope="module")
def problems() -> Iterator[Any]:
    """The simulated problems of the benchmarks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("simulations.problems")


def losses(rows: Predictions, new: Predictions) -> dict[str, float]:
    """Return the log-loss of new rows by the chosen method (`chosen`) and by each method."""
    found = combine(rows, methods=METHODS, calibrate="pooled")
    labels = new.require_labels("test")
    result = {
        each.method: evaluate(each.combiner.combine(new.logits), labels, ["log_loss"])["log_loss"]
        for each in found.methods
    }
    return {**result, "chosen": result[found.best.method]}


@pytest.mark.parametrize("structure", ["equal members", "one dominates", "miscalibrated"])
def test_the_chosen_method_is_nearly_the_best_on_new_rows(problems, structure: str) -> None:
    regrets, greedy = [], []
    for seed in range(5):
        random = np.random.default_rng(seed)
        source = problems.STRUCTURES[structure](random)
        found = losses(source.draw(300, random, least=5), source.draw(5000, random))
        regrets.append(found["chosen"] - min(found.values()))
        greedy.append(found["greedy_selection"] - min(found.values()))
    assert np.mean(regrets) <= 0.012
    assert np.mean(regrets) <= np.mean(greedy)


def test_no_gain_is_claimed_where_the_best_member_alone_is_right(problems) -> None:
    """Calibrated methods against a calibrated member: the default of `combine`.

    No method can beat the first member, whose logits are exact; the others predict at random. At most 5% of
    leaderboards may claim a gain: more than 4 of 20 have a probability of 0.3% then.
    """
    random, claims = np.random.default_rng(0), 0
    source = problems.problem([2.0, 0, 0, 0, 0], classes=3)
    for seed in range(20):
        found = combine(source.draw(200, random), methods=METHODS, calibrate="pooled", seed=seed)
        claims += any(each.scores.gain["log_loss"].proven for each in found.methods)
    assert claims <= 4
