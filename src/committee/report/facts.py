"""What a store knows about its models, read once for all sections of the report; no network runs."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.combiners.base import Combiner
from committee.combiners.base import load as load_combiner
from committee.combiners.shared.calibrator import Calibrator
from committee.errors import CommitteeError, StoreError
from committee.images.record import Record, load_record
from committee.images.stored import StoredImages, source_images, stored_images
from committee.pipeline.shared.best import is_ensemble, is_single
from committee.pipeline.shared.combined import combined
from committee.pipeline.shared.records import (
    deployed_of,
    ensemble_facts,
    member_source,
    stored_metrics,
)
from committee.pipeline.shared.reports import Report
from committee.pipeline.shared.run_record import read_run, read_runs
from committee.pipeline.shared.sets import mean_of_members, voting
from committee.pipeline.shared.splits import load_predictions, oof_rows
from committee.predictions.table import Predictions
from committee.recipe.model import CostBudget
from committee.report.leaderboard import leaderboard, metric_for
from committee.report.recommendation import Recommendation, recommend
from committee.store.layout import Store
from committee.store.manifest import NAME
from committee.tasks.base import Task, task_for, task_of

SHOWN = 4
"""Models with curves: more lines cannot be told apart."""
COMPARED = 40
"""Members that are compared in pairs, the best first."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """What one model predicts on stored rows.

    Attributes
    ----------
    name : str
    values : float array [N, C, ...]
        Log-probabilities, or numbers.
    rows : Predictions
        The ids and labels of the rows.
    split : str
        `test`, or `out-of-fold` rows in a store without a test split.
    """

    name: str
    values: NDArray[np.float32]
    rows: Predictions
    split: str

    @property
    def labels(self) -> NDArray[Any]:
        """The labels of the rows."""
        return self.rows.require_labels("report")

    @property
    def task(self) -> Task:
        """What is predicted."""
        return task_of(self.rows)


class Facts:
    """The results of a store.

    Parameters
    ----------
    store : Store
    metric : str, optional
        The metric that ranks the models; by default that of their task.
    budget : CostBudget, optional
        The budget of the recommendation.

    Attributes
    ----------
    reports : list of dict
        The `metrics.json` of the evaluated models, in the order of the leaderboard.
    failed : dict of str to str
        Members that could not be trained, with the reason.
    unfinished : dict of str to str
        Members for which the time limit of a run left no time, with the reason.

    Raises
    ------
    StoreError
        No model was evaluated, and no member failed.
    UnknownNameError
        There is no such metric.

    See Also
    --------
    committee.report.page.write_report : Writes the report.
    """

    def __init__(self, store: Store, metric: str | None = None, budget: CostBudget | None = None) -> None:
        listed = leaderboard(store, metric)
        self.store, self.budget = store, budget
        self.reports = [report for report in listed if "failed" not in report]
        failed = {str(each["name"]): str(each["failed"]) for each in listed if "failed" in each}
        late = {str(each["name"]) for each in listed if each.get("unfinished")}
        self.failed = {name: why for name, why in failed.items() if name not in late}
        self.unfinished = {name: why for name, why in failed.items() if name in late}
        self.metric = metric_for(metric, self.reports)
        self._outputs: dict[str, Outputs | None] = {}
        self._source = functools.cache(functools.partial(member_source, store))
        self._ensembles: dict[str, dict[str, Any]] = {}

    @cached_property
    def recommendation(self) -> Recommendation | None:
        """The model to use."""
        return recommend(self.store, self.metric, self.budget)

    @cached_property
    def record(self) -> Record | None:
        """The record of the data set; None if there is none, or it is damaged."""
        try:
            return load_record(self.store)
        except StoreError:
            return None

    @cached_property
    def task(self) -> Task | None:
        """What the models predict."""
        return None if self.record is None else task_for(self.record.kind)

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Models with a report that is not shown, since it is damaged or out of date."""
        known = {*(str(report["name"]) for report in self.reports), *self.failed, *self.unfinished}
        names = [name for name in (*self.store.members(), *self.store.ensembles()) if name not in known]
        return {name: self._why(name) for name in names}

    @cached_property
    def singles(self) -> list[Report]:
        """The reports of members that are not derived from others, best first."""
        return [report for report in self.reports if is_single(report)]

    @cached_property
    def ensembles(self) -> list[Report]:
        """The reports of everything that combines members, best first."""
        return [report for report in self.reports if is_ensemble(report)]

    @cached_property
    def shown(self) -> list[Report]:
        """The models with curves: the recommended one, the best ones, and the best single member."""
        named = self.recommendation.name if self.recommendation is not None else None
        chosen = [report for report in self.reports if report["name"] == named]
        chosen += [*self.reports[:1], *self.ensembles[:1], *self.singles[:1], *self.ensembles[1:2]]
        unique = {str(report["name"]): report for report in chosen}
        return list(unique.values())[:SHOWN]

    def series(self, name: str) -> int | None:
        """Return the number of the color of a model that has curves."""
        names = [report["name"] for report in self.shown]
        return names.index(name) if name in names else None

    def outputs(self, name: str) -> Outputs | None:
        """Return what a model predicts on the test split; None if there are no stored predictions.

        Without a test split, out-of-fold predictions of members are returned.
        """
        if name not in self._outputs:
            self._outputs[name] = self._read(name)
        return self._outputs[name]

    @cached_property
    def curves(self) -> list[Outputs]:
        """What the models with curves predict."""
        found = [self.outputs(str(report["name"])) for report in self.shown]
        return [each for each in found if each is not None]

    @cached_property
    def compared(self) -> Predictions | None:
        """Predictions of the best single members on the rows of the curves; None without any."""
        names = [str(report["name"]) for report in self.singles[:COMPARED]]
        for split in ("test", "oof"):
            try:
                rows = load_predictions(self.store, names, split) if names else None
            except CommitteeError:
                continue
            if rows is not None and rows.labels is not None and len(rows):
                return rows
        return None

    @property
    def images(self) -> StoredImages | None:
        """The decoded images of the store, or those of its source; None if there are neither."""
        return self._images[0]

    @property
    def about_images(self) -> str:
        """A sentence about images that do not come from the cache of the store; empty for those that do."""
        return self._images[1]

    @cached_property
    def _images(self) -> tuple[StoredImages | None, str]:
        if self.record is None:
            return None, " The images are not shown: the store has no record of its data set."
        found = stored_images(self.store, self.record)
        if found is not None:
            return found, ""
        gone = "the decoded images of the store were deleted"
        try:
            return source_images(self.record), f" The images are those of the source: {gone}."
        except (CommitteeError, OSError, ValueError) as error:
            return None, f" The images are not shown: {gone}, and the source cannot be read: {error}"

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of the data set of each sample id."""
        return {} if self.record is None else {name: row for row, name in enumerate(self.record.ids)}

    @cached_property
    def held_out(self) -> Outputs | None:
        """The mean of the members on out-of-fold rows, which finds labels that may be wrong."""
        names = [str(report["name"]) for report in self.singles[:COMPARED]]
        try:
            rows = oof_rows(self.store, names) if names else None
        except CommitteeError:
            return None
        if rows is None or rows.labels is None:
            return None
        return Outputs("members", mean_of_members(rows), rows, "out-of-fold")

    @cached_property
    def epochs(self) -> dict[str, dict[str, list[dict[str, str]]]]:
        """The table of epochs of each fit of each member, as text."""
        found: dict[str, dict[str, list[dict[str, str]]]] = {}
        for report in self.reports:
            name = str(report["name"])
            for fit in self.store.folds(name) if report["kind"] == "member" else ():
                rows = _csv(self.store.checkpoint(name, fit) / "epochs.csv")
                if rows:
                    found.setdefault(name, {})[fit] = rows
        return found

    @cached_property
    def last_run(self) -> Mapping[str, Any]:
        """The recipe, versions and times of the last run; empty if there is none.

        Without a `committee run`, that is the last verb with a recipe that changed evaluated models.
        """
        try:
            found: Mapping[str, Any] = read_run(self.store)
        except StoreError:
            return {}
        return found or next((vars(each) for each in read_runs(self.store) if each.recipe), {})

    def uncalibrated(self, name: str) -> Outputs | None:
        """Return what a calibrated ensemble predicts on the test split without its calibration, or None."""
        if name not in self.store.ensembles() or not isinstance(rule := self.combiner(name), Calibrator):
            return None
        try:
            return self._combined(name, rule.inner)
        except CommitteeError:
            return None

    def combiner(self, name: str) -> Combiner:
        """Return the combiner of a stored ensemble."""
        return load_combiner(self.store.ensemble(name))

    def deployed_of(self, name: str) -> dict[str, str]:
        """Return the deployed networks of a member, or of the members that an ensemble uses, in their order.

        Raises
        ------
        StoreError
            A file is damaged, or a member was deleted or trained again after the ensemble was built.
        """
        if name not in self.store.ensembles():
            return deployed_of(self.store, name)
        if name not in self._ensembles:  # a check of each of its members
            self._ensembles[name] = ensemble_facts(self.store, name, self._source)
        found = self._ensembles[name]
        return {member: found["inference"][member] for member in found["members"]}

    def _why(self, name: str) -> str:
        is_there = (stored_metrics(self.store, name) / NAME).exists()
        changed = "its report is damaged, or describes networks that have changed since"
        return f"{changed if is_there else 'it is not evaluated'}. Run: committee evaluate"

    def _read(self, name: str) -> Outputs | None:
        try:
            if name in self.store.ensembles():
                return self._combined(name, self.combiner(name))
            return self._combined(name, voting(task_of(load_predictions(self.store, [name], "test"))))
        except CommitteeError:
            return self._out_of_fold(name)

    def _combined(self, name: str, rule: Combiner) -> Outputs:
        deployed = self.deployed_of(name)
        return Outputs(name, *combined(self.store, rule, list(deployed), "test", deployed), "test")

    def _out_of_fold(self, name: str) -> Outputs | None:
        try:
            rows = oof_rows(self.store, [name])
        except CommitteeError:
            return None
        return Outputs(name, mean_of_members(rows), rows, "out-of-fold")


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))
    except (OSError, csv.Error, UnicodeDecodeError):
        return []
