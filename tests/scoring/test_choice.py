"""The choice of a winner: ties go to the cheaper method, and a cascade is not above its vote by chance."""

from __future__ import annotations

import math

import numpy as np

from committee.pipeline.combine import combine
from committee.predictions.simulation import simulate
from committee.scoring.choice import Contender, choose, contenders, ranked

DRAWS = np.random.default_rng(0).normal(size=(4, 1000)).astype(np.float32)
DRAWS /= DRAWS.std(axis=1, keepdims=True)
"""Independent draws with a standard error of 1: that of a difference is about 1.4."""


def test_ties_go_to_the_cheaper_method() -> None:
    large = Contender("large", 10.0, DRAWS[0], (7.0,))
    small = Contender("small", 9.4, DRAWS[1], (2.0,))
    worse = Contender("worse", 9.2, DRAWS[2], (1.0,))
    same = Contender("same", 9.5, DRAWS[3], (2.0,))
    assert [each.name for each in choose([worse, small, large])] == ["small", "large"]
    assert [each.name for each in choose([worse, small, large, same])] == ["same", "large"]
    assert [each.name for each in choose([worse, large])] == ["large", "large"]
    # The same difference is no tie where the two scores always move together.
    paired = Contender("paired", 9.4, DRAWS[0], (2.0,))
    assert [each.name for each in choose([paired, large])] == ["large", "large"]


def test_without_draws_or_with_undefined_scores_the_score_decides() -> None:
    bare = Contender("bare", 10.0, None, (7.0,))
    small = Contender("small", 9.9, DRAWS[1], (2.0,))
    undefined = Contender("undefined", math.nan, DRAWS[0], (1.0,))
    assert [each.name for each in choose([undefined, small, bare])] == ["bare", "bare"]
    assert [each.name for each in choose([undefined, small])] == ["small", "small"]
    assert [each.name for each in ranked([undefined, small, bare])] == ["bare", "small", "undefined"]


def test_a_cascade_ranks_above_the_vote_of_its_members_only_if_it_is_better() -> None:
    vote = Contender("vote", 9.0, DRAWS[0], (7.0,))
    other = Contender("other", 9.5, DRAWS[2], (7.0,))
    for score, order in ((10.0, ["other", "vote", "cascade"]), (12.0, ["cascade", "other", "vote"])):
        cascade = Contender("cascade", score, DRAWS[1], (7.0,), vote="vote")
        assert [each.name for each in ranked([cascade, other, vote])] == order
    alone = Contender("cascade", 10.0, DRAWS[1], (7.0,), vote="left out")
    assert [each.name for each in ranked([other, alone])] == ["cascade", "other"]


def test_contenders_of_combiners() -> None:
    rows = simulate({"a": 2.0, "b": 2.0, "c": 2.0}, rows=300)
    methods = ["soft_voting", "cascade", {"combiner": "subset", "members": ["a", "b"]}]
    found = {each.name: each for each in contenders(combine(rows, methods=methods).methods, "brier")}
    assert {name: each.cost for name, each in found.items()} == {
        "soft_voting": (3,),
        "cascade": (3,),
        "subset": (2,),
    }
    assert {name: each.vote for name, each in found.items()} == {
        "soft_voting": "",
        "cascade": "soft_voting",
        "subset": "",
    }
    assert all(each.score < 0 and each.draws is not None for each in found.values())
