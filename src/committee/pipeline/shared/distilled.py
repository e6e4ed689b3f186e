"""Comparison of a distilled member with its teacher, and with the same backbone trained alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.combiners.base import load as load_combiner
from committee.errors import CommitteeError
from committee.metrics.metric import Metric
from committee.pipeline.shared.combined import combined
from committee.pipeline.shared.costs import Costs
from committee.pipeline.shared.for_task import task_of_store
from committee.pipeline.shared.records import (
    deployed_folds,
    deployed_of,
    inference_of,
    member_facts,
    member_source,
    model_source,
)
from committee.pipeline.shared.sets import voting
from committee.pipeline.shared.splits import has_split, split_rows
from committee.scoring.kept_gain import kept_gain, mean_estimate, row_scores
from committee.store.commit import write_json
from committee.store.layout import Store
from committee.training.fit.journal import epoch_seconds
from committee.untrusted.documents import read_json

log = logging.getLogger(__name__)

RECORD = "comparison.json"
DISTILLED, SCRATCH = "distilled_", "scratch_"
"""Prefixes of the names of students in the store of a comparison; a number follows."""
REFIT = "refit"


def write_comparison(store: Store, name: str, teacher: str) -> None:
    """Record that the students in the store of a comparison belong to a distilled member and its teacher."""
    record = {
        "teacher": teacher,
        "teacher_source": model_source(store, teacher),
        "source": member_source(store, name),
    }
    write_json(_record(store, name), record)


def comparison_inputs(store: Store, name: str) -> list[Any]:
    """Return what the comparison of a member is made from: empty if there is none that belongs to it."""
    record = _current(store, name)
    return (
        []
        if record is None
        else [record, *(member_source(_students(store, name), each) for each in _names(store, name))]
    )


def comparison_report(store: Store, name: str, costs: Costs) -> dict[str, Any]:
    """Return `{"distillation": {...}}` for a distilled member that was compared; an empty mapping for others.

    `teacher`, `scratch` and `distilled` have the metrics on the test split, of students with their interval
    over rows and seeds, and the seconds of training. `gain` is that of the distilled students over those
    trained alone, `teacher_gain` that of the teacher, and `kept` the ratio of the two, by metric.
    `compression` and `speed_up` are the size and the latency of the teacher, divided by those of the student.
    """
    record = _current(store, name)
    if record is None:
        return {}
    teacher = str(record["teacher"])
    deployed = deployed_of(store, teacher)
    combiner = load_combiner(store.ensemble(teacher)) if teacher in store.ensembles() else None
    members = list(deployed)
    if not has_split(store, members, "test", deployed):
        return {}
    task = task_of_store(store)
    outputs, test = combined(store, combiner or voting(task), members, "test", deployed)
    labels, groups = test.require_labels(name), test.groups
    mine = split_rows(store, [name], "test", {name: REFIT}).with_classes(test.class_names).logits
    students = _students(store, name)
    alone, taught = (
        np.concatenate([first, *(_logits(students, each, test.class_names) for each in names)])
        for first, names in zip((mine[:0], mine), _by_kind(store, name), strict=True)
    )
    alone, taught = (
        np.stack([voting(task).combine(each[None]) for each in some]) for some in (alone, taught)
    )
    own = costs.of({name: REFIT})
    whole = costs.of(deployed, combiner)
    report: dict[str, Any] = {
        "seeds": len(alone),
        "teacher": {"name": teacher, "metrics": {}, "training_seconds": _seconds_of(store, deployed)},
        "scratch": {
            "metrics": {},
            "training_seconds": epoch_seconds(students.checkpoint(f"{SCRATCH}0", REFIT)),
        },
        "distilled": {"metrics": {}, "training_seconds": epoch_seconds(store.checkpoint(name, REFIT))},
        "gain": {},
        "teacher_gain": {},
        "kept": {},
        "compression": whole["size_mb"] / own["size_mb"],
        "speed_up": whole["latency_ms"]["median"] / own["latency_ms"]["median"],
    }
    for metric in map(task.metric, sorted(task.proof)):
        found = _compared(metric, labels, groups, teacher=outputs, scratch=alone, distilled=taught)
        for kind in ("teacher", "scratch", "distilled"):
            report[kind]["metrics"][metric.name] = found.pop(kind)
        for kind, value in found.items():
            report[kind][metric.name] = value
    return {"distillation": report}


def _compared(
    metric: Metric,
    labels: NDArray[Any],
    groups: NDArray[np.int64] | None,
    *,
    teacher: NDArray[np.float32],
    scratch: NDArray[np.float32],
    distilled: NDArray[np.float32],
) -> dict[str, Any]:
    """Return one metric of the teacher `[N, C]`, and of students `[S, N, C]` with the gains between them."""
    best = row_scores(teacher, labels, metric)
    report: dict[str, Any] = {"teacher": metric.sign * float(best.mean())}
    low, high = (np.stack([row_scores(x, labels, metric) for x in each]) for each in (scratch, distilled))
    for kind, values in (("scratch", low), ("distilled", high)):
        seeds = (metric.sign * values.mean(1)).tolist()
        report[kind] = {**asdict(mean_estimate(metric.sign * values, groups)), "seeds": seeds}
    found = kept_gain(best, low, high, groups)
    kept = None if found.kept is None else asdict(found.kept)
    return report | {"gain": asdict(found.gain), "teacher_gain": asdict(found.teacher_gain), "kept": kept}


def _current(store: Store, name: str) -> dict[str, Any] | None:
    """Return the record of a comparison, or None if none belongs to the member and its teacher."""
    file = _record(store, name)
    if not file.is_file():
        return None
    record: dict[str, Any] = read_json(file, "the record of a comparison", "Run: committee distill RECIPE")
    try:
        same = record["source"] == member_source(store, name)
        same = same and record["teacher_source"] == model_source(store, str(record["teacher"]))
    except (CommitteeError, KeyError):
        same = False
    if not same:
        log.warning(
            "%s: its comparison is left out, since student or teacher has changed: run committee distill",
            name,
        )
    return record if same else None


def _record(store: Store, name: str) -> Path:
    return store.comparison(name).root / RECORD


def _students(store: Store, name: str) -> Store:
    return store.comparison(name)


def _names(store: Store, name: str) -> list[str]:
    return list(_students(store, name).members())


def _by_kind(store: Store, name: str) -> tuple[list[str], list[str]]:
    """Return the names of the students trained alone, and of the further ones that were taught, by number."""
    names = sorted(_names(store, name), key=lambda each: int(each.rpartition("_")[2]))
    alone, taught = ([each for each in names if each.startswith(kind)] for kind in (SCRATCH, DISTILLED))
    return alone, taught


def _logits(store: Store, student: str, class_names: Sequence[str]) -> NDArray[np.float32]:
    return split_rows(store, [student], "test", {student: REFIT}).with_classes(class_names).logits


def _seconds_of(store: Store, deployed: Mapping[str, str]) -> float:
    """Return the seconds of training of deployed networks, and of the members that these are made from."""
    names, left = dict[str, str](), dict(deployed)
    while left:
        member, inference = left.popitem()
        if member in names:
            continue
        names[member] = inference
        of = member_facts(store, member).get("of", ())
        left |= {each: inference_of(member_facts(store, each)) for each in of}
    return sum(
        epoch_seconds(store.checkpoint(member, fit)) or 0.0
        for member, inference in names.items()
        for fit in deployed_folds(store, member, inference)
    )
