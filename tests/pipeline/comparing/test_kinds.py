"""Kinds of models and files, in words."""

from __future__ import annotations

from typing import Any

import pytest

from committee.base.registry import Family
from committee.pipeline.comparing import kinds
from committee.pipeline.comparing.kinds import KINDS, kind_of
from committee.store.layout import Store


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        ({"method": "hard_voting"}, "vote"),
        ({"method": "stacking_xgb"}, "stack"),
        ({"method": "cascade"}, "cascade"),
        ({"method": "compose"}, "meta-fuser"),
        ({"method": "fallback", "notes": {"used": "inner"}}, "TTA"),
        ({"method": "fallback", "notes": {"used": "base"}}, "TTA, left out"),
        ({"plan": "single"}, "single"),
        ({"plan": "distillation"}, "student"),
        ({"plan": "soup"}, "soup"),
    ],
)
def test_kinds_are_what_a_person_calls_them(
    store: Store, monkeypatch: pytest.MonkeyPatch, report: dict[str, Any], kind: str
) -> None:
    monkeypatch.setattr(kinds, "member_facts", lambda *_: report)
    its = "ensemble" if "method" in report else "member"
    assert kind_of(store, {"name": "a", "kind": its, **report}) == kind


def test_every_word_is_for_a_combiner_or_a_plan() -> None:
    families: list[Family[Any]] = [
        Family(f"committee.{folder}", "entry") for folder in ("combiners", "training.plans")
    ]
    assert set(KINDS) <= {name for family in families for name in family.names()}
