"""The models that are compared: the best of each kind that a store holds, or those that are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from committee.errors import StoreError
from committee.pipeline.comparing.kinds import SINGLE, kind_of
from committee.pipeline.shared.rankings import ranking_of
from committee.pipeline.shared.records import ensemble_facts, member_facts
from committee.pipeline.shared.reports import Report, rank, read_reports
from committee.store.layout import Store
from committee.training.fit.journal import epoch_seconds


def candidates(store: Store, names: Sequence[str] = ()) -> list[Report]:
    """Return the reports of the models to compare, best cross-fitted log-loss, or RMSE, first.

    Parameters
    ----------
    store : Store
    names : sequence of str
        Models by full or short name; if empty, the best model of each kind.

    Raises
    ------
    UnknownNameError
        The store has no such model.
    StoreError
        No model is evaluated, or one of `names` is not.
    """
    reports = _ranked(store)
    if names:
        wanted = [store.resolve(name) for name in names]
        missing = [name for name in wanted if name not in {report["name"] for report in reports}]
        if missing:
            raise StoreError(
                missing[0], expected="an evaluated model", got="none", todo="Run: committee evaluate"
            )
        return [report for report in reports if report["name"] in wanted]
    if not reports:
        raise StoreError(
            str(store),
            expected="evaluated models, to compare them",
            got="none",
            todo="Run: committee evaluate",
        )
    best: dict[str, Report] = {}
    for report in reports:
        best.setdefault(kind_of(store, report), report)
    return list(best.values())


def singles(store: Store) -> list[Report]:
    """Return the reports of all single networks of a store, best first."""
    return [each for each in _ranked(store) if kind_of(store, each) == SINGLE]


def _ranked(store: Store) -> list[Report]:
    reports = read_reports(store)
    return rank(reports, ranking_of(reports).default)


def training_seconds(store: Store, name: str) -> float | None:
    """Return the seconds of all epochs of a model, of its members, and of the models that these are made of.

    The epochs of all folds and of the refit count. It is None if the store has no record of a needed fit,
    such as that of an adopted network.
    """
    needed, waiting = dict[str, float | None](), [name]
    while waiting:
        each = waiting.pop()
        if each in needed:
            continue
        if each in store.ensembles():
            needed[each] = 0.0
            waiting += ensemble_facts(store, each)["candidates"]
        else:
            facts: Any = member_facts(store, each)
            needed[each] = _own_seconds(store, each)
            if needed[each] is None and facts.get("of"):
                needed[each] = 0.0  # an average of weights, or a head whose epochs are not recorded
            waiting += facts.get("of", [])
    known = [seconds for seconds in needed.values() if seconds is not None]
    return sum(known) if len(known) == len(needed) else None


def _own_seconds(store: Store, member: str) -> float | None:
    fits = [epoch_seconds(store.checkpoint(member, fold)) for fold in store.folds(member)]
    known = [seconds for seconds in fits if seconds is not None]
    return sum(known) if len(known) == len(fits) else None
