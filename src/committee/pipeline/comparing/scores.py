"""Scores of compared models on the same rows, and how many independent networks each is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.combiners.base import load as load_combiner
from committee.metrics.means import mean_interval
from committee.pipeline.shared.combined import combined
from committee.pipeline.shared.for_task import task_of_store
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.shared.reports import Report
from committee.pipeline.shared.sets import voting
from committee.pipeline.shared.splits import split_rows
from committee.predictions.table import Predictions
from committee.scoring.equivalent import deep_ensemble_equivalent
from committee.scoring.kept_gain import row_scores
from committee.store.layout import Store
from committee.tasks.base import task_of

FEWEST = 2
"""Smallest number of single networks with which models are compared."""

Outputs = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rows:
    """The test rows of a comparison.

    Attributes
    ----------
    rows : Predictions
        Ids, labels and groups.
    networks : Predictions or None
        Predictions of the single networks of the store; None if there are fewer than two.
    seed : int
    """

    rows: Predictions
    networks: Predictions | None
    seed: int

    def scores(self, outputs: Outputs) -> dict[str, dict[str, float]]:
        """Return the metrics of short tables of outputs `[N, C]`, with intervals."""
        labels, task = self.rows.require_labels("compare"), task_of(self.rows)
        found = task.intervals(outputs, labels, groups=self.rows.groups, seed=self.seed, names=task.brief)
        return {metric: asdict(interval) for metric, interval in found.items()}

    def equivalent(self, outputs: Outputs) -> dict[str, Any]:
        """Return how many single networks with equal weights have the same calibrated log-loss, or RMSE."""
        if self.networks is None:
            return {"value": None, "note": f"the store has fewer than {FEWEST} single networks"}
        found = deep_ensemble_equivalent(
            outputs,
            self.networks.logits,
            self.networks.require_labels("compare"),
            task=task_of(self.rows),
            groups=self.networks.groups,
            seed=self.seed,
        )
        return {"value": found.value, "note": found.note}

    def difference(self, outputs: Outputs, others: Outputs) -> dict[str, dict[str, float]]:
        """Return metrics of outputs minus those of others, paired, with 95% intervals: those of `proof`."""
        labels, task = self.rows.require_labels("compare"), task_of(self.rows)
        found = {}
        for metric in map(task.metric, sorted(task.proof)):
            mine, theirs = (row_scores(each, labels, metric) for each in (outputs, others))
            difference = metric.sign * (mine - theirs)
            found[metric.name] = asdict(mean_interval(difference, self.rows.groups))
        return found


def shared_rows(
    store: Store, reports: Sequence[Report], networks: Sequence[Report], seed: int
) -> Rows | None:
    """Return the test rows of models, or None if one of them has no predictions of the test split."""
    if not reports or not all(report.get("n") for report in reports):
        return None
    rows = outputs_of(store, reports[0])[1]
    known = {each["name"]: str(each["inference"]) for each in networks if each.get("n")}
    of_networks = split_rows(store, known, "test", known) if len(known) >= FEWEST else None
    return Rows(rows, of_networks, seed)


def outputs_of(store: Store, report: Report) -> tuple[Outputs, Predictions]:
    """Return the log-probabilities or numbers of a model for the test split, and the rows."""
    name = report["name"]
    if report["kind"] != "ensemble":
        return combined(store, voting(task_of_store(store)), [name], "test", {name: str(report["inference"])})
    facts = ensemble_facts(store, name)
    combiner = load_combiner(store.ensemble(name))
    return combined(store, combiner, facts["members"], "test", facts["inference"])
