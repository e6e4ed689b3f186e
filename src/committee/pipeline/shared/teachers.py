"""Stored members and ensembles as teachers of a student."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from committee.combiners.base import load as load_combiner
from committee.errors import RecipeError, StoreError, UnknownNameError, UsageError, first_five, nearest
from committee.pipeline.shared.records import deployed_folds, ensemble_facts, inference_of, model_source
from committee.pipeline.shared.sets import voting
from committee.pipeline.shared.splits import fitting_rows
from committee.predictions.table import Predictions
from committee.store.layout import Store
from committee.store.manifest import read_whole
from committee.tasks.base import Task, task_of_model
from committee.training.fit.teacher import Teacher

KEY = "distillation.teacher"
Entry = Mapping[str, Any]


def teacher_of(
    name: str,
    student: str,
    class_names: Sequence[str],
    store: Store,
    entries: Sequence[Entry],
    trusted: Collection[str],
    task: Task | None = None,
) -> Teacher:
    """Return a stored member or ensemble as the teacher of a student.

    Parameters
    ----------
    name : str
        Full or short name of the teacher.
    student : str
        Name of the member that the student becomes.
    class_names : sequence of str
        Classes or targets of the data set.
    store : Store
    entries : sequence of mappings
        The members of the catalog.
    trusted : collection of str
        The `python:` backbones that may be built.
    task : Task, optional
        What the data set is about; classes by default.

    Raises
    ------
    UnknownNameError
        The store has no such model.
    RecipeError
        The teacher is made from the student.
    UsageError
        The teacher has other classes or targets.
    StoreError
        The teacher, or one of its members, is damaged.
    """
    task = task or task_of_model(None)
    members = {str(entry["name"]): entry for entry in entries}
    full = _full_name(name, store)
    if full in store.ensembles():
        facts = ensemble_facts(store, full)
        shipped = read_whole(store.ensemble(full), load_combiner)
    else:
        facts = _as_ensemble(full, members, class_names)
        shipped = voting(task).bind([full])
    _refuse_descendant(name, full, facts["candidates"], student, members)
    if set(facts["class_names"]) != set(class_names):
        raise UsageError(
            KEY,
            expected=f"a teacher of the {task.target_type.outputs} {first_five(class_names)}",
            got=f"{full} of {first_five(facts['class_names'])}",
            todo=f"Name a teacher that was trained on the {task.target_type.outputs} of this data set.",
        )
    candidates = facts["candidates"]
    return Teacher(
        full,
        model_source(store, full),
        store,
        shipped,
        {each: deployed_folds(store, each, candidates[each]) for each in shipped.member_names},
        facts["spec"],
        _predictions(store, candidates),
        facts["class_names"],
        trusted,
    )


def _full_name(name: str, store: Store) -> str:
    try:
        return store.resolve(name)
    except UnknownNameError:
        known = [*store.ensembles(), *store.members()]
        raise UnknownNameError(
            KEY,
            expected=f"a model of the store ({', '.join(known) or 'it has none'})",
            got=f"'{name}'",
            todo=nearest(name, known) or "Build it first: committee build-ensemble RECIPE",
        ) from None


def _as_ensemble(name: str, members: Mapping[str, Entry], class_names: Sequence[str]) -> dict[str, Any]:
    """Return the record that an ensemble of a single member would have."""
    if name not in members:
        raise StoreError(
            name,
            expected="an undamaged member",
            got="one that the catalog leaves out",
            todo="Run: committee discover",
        )
    return {
        "spec": {"combiner": "soft_voting"},
        "candidates": {name: inference_of(members[name])},
        "class_names": list(members[name].get("class_names", class_names)),
    }


def _predictions(store: Store, candidates: Mapping[str, str]) -> Predictions | None:
    """Return the out-of-fold predictions of members that all have fold networks; None for others."""
    if not all("fold_0" in store.folds(name) for name in candidates):
        return None
    rows, kind = fitting_rows(store, candidates, candidates)
    return rows if kind == "oof" and rows.folds is not None else None


def _refuse_descendant(
    given: str, full: str, candidates: Collection[str], student: str, members: Mapping[str, Entry]
) -> None:
    """Raise RecipeError if a teacher is the student, or is made from it."""
    seen, left = set[str](), [full, *candidates]
    while left:
        each = left.pop()
        if each == student:
            how = "" if full == student else f", which is made from {student}"
            raise RecipeError(
                KEY,
                expected=f"a model that is not made from the student {student}",
                got=f"'{given}'{how}",
                todo="Name another teacher, or build it without the student: runs.members.",
            )
        if each not in seen:
            seen.add(each)
            left += members.get(each, {}).get("of", [])
