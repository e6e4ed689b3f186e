"""The runs of a plan in memory: their fits, one after the other or together, and the members they make."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from committee.base.randomness import derive
from committee.errors import UsageError
from committee.executors.shared.division import Workers
from committee.in_memory.arrays import Arrays
from committee.in_memory.networks import Networks
from committee.in_memory.ways import carry_out
from committee.models.ensemble import Ensemble
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.fit.batches import Rows
from committee.training.fit.early_stopping import stopping_rule
from committee.training.fit.job import Job, Trained
from committee.training.fit.resume import InMemory
from committee.training.plans.averaging import Averaging
from committee.training.plans.bagging import Bagging
from committee.training.plans.base import PLANS, Stored
from committee.training.plans.boosting import Boosting
from committee.training.plans.shared.independent import Independent, PlannedFit
from committee.training.plans.shared.of_backbone import OfBackbone
from committee.training.plans.snapshot import Snapshot

log = logging.getLogger(__name__)
FOLD = "fit"
NOWHERE = Store("in memory")
"""The store of plans whose fits have their states in memory; nothing is written to it."""

Made = tuple[list[nn.Module], NDArray[np.bool_], list[list[Mapping[str, Any]]]]


class Runs:
    """Plans of one or several runs that make `n` members.

    Parameters
    ----------
    spec : MemberSpec
        Settings of all members.
    data : Arrays
    device : torch.device
    n : int
    networks : Networks
    workers : int or "auto"
        Fits at once.

    Raises
    ------
    UsageError
        The plan does not make members of its own, or its options do not fit.
    """

    def __init__(
        self,
        spec: MemberSpec,
        data: Arrays,
        device: torch.device,
        n: int,
        networks: Networks,
        workers: Workers,
    ) -> None:
        self.data, self.device, self.networks, self.workers = data, device, networks, workers
        self.rows: Rows = data.rows("train")
        if data.weights is not None:  # A batch of rows without any weight would have no mean loss.
            self.rows = self.rows[data.weights[self.rows] > 0]
        self.plans = [self._plan(each, n) for each in self._specs(spec, n)]
        first = self.plans[0]
        for key, why in first.unused().items():
            log.warning("%s has no effect: %s", key, why)
        judged = isinstance(first, Boosting) or stopping_rule(first.spec.training, None)
        if len(data.rows("val")) and not judged:
            raise UsageError(
                "val", expected="none", got="validation rows", todo=f"{first.fixes.capitalize()}."
            )

    def carry_out(self) -> Made:
        """Return the members, the rows that each has seen, and the history of its fit."""
        planned = PlannedFit(self.rows)
        self.networks.check(self._job(self.plans[0], planned))
        first = self.plans[0]
        return self._boosted(first) if isinstance(first, Boosting) else self._independent()

    def _boosted(self, plan: Boosting) -> Made:
        history = list[Mapping[str, Any]]()

        def train(planned: PlannedFit) -> Trained:
            job = self._job(plan, planned)
            [trained] = self._trained([job])
            history.extend({"stage": planned.number, **row} for row in _history(job))
            return trained

        series = plan.series(self.rows, FOLD, train, weights=self.data.weights)
        return [series], self._seen(self.rows)[None], [history]

    def _independent(self) -> Made:
        plans = cast("list[Independent]", self.plans)
        fits = [plan.fits(self.rows, FOLD) for plan in plans]
        jobs = [[self._job(plan, each) for each in some] for plan, some in zip(plans, fits, strict=True)]
        trained = iter(self._trained([job for some in jobs for job in some]))
        members, seen, history = list[nn.Module](), list[NDArray[np.bool_]](), list[Any]()
        for plan, some, own in zip(plans, fits, jobs, strict=True):
            made = _kept(plan, plan.made([next(trained) for _ in some], self.rows, FOLD))
            for place in range(len(made)):
                which = place if len(some) > 1 else 0
                seen.append(self._seen(some[which].rows))
                history.append(_history(own[which]))
            members += made
        return members, np.stack(seen), history

    def _seen(self, rows: Rows) -> NDArray[np.bool_]:
        """Return for each row of the user whether it is one of these."""
        return np.isin(self.data.rows("train"), rows)

    def _trained(self, jobs: Sequence[Job]) -> list[Trained]:
        found = carry_out(jobs, self.workers)
        for each in found:
            if isinstance(each, Exception):
                raise each
        return [each for each in found if isinstance(each, Trained)]

    def _job(self, plan: OfBackbone, planned: PlannedFit) -> Job:
        spec, number = plan.spec, planned.number
        spec = spec if number is None else _numbered(spec, number)
        size, extra, weights = spec.batch_size, planned.extra, self.data.weights
        if weights is not None and isinstance(plan, Independent):
            extra = replace(extra, weights=weights[planned.rows])
        job = Job(spec, self.data, planned.rows, FOLD, self.device, InMemory(), "", None, size, extra)
        return replace(job, extra=replace(extra, begin=partial(self.networks.begin, job)))

    def _specs(self, spec: MemberSpec, n: int) -> list[MemberSpec]:
        """Return the settings of each run."""
        if spec.training.plan.name in _COUNTS:
            return [spec]
        return [_numbered(spec, number) for number in range(n)]

    def _plan(self, spec: MemberSpec, n: int) -> OfBackbone:
        chosen = spec.training.plan
        options, count = dict(chosen.options), _COUNTS.get(str(chosen.name))
        for key in (count, "epochs_per_cycle"):
            if key in options:
                todo = f"Give it as {'n' if key == count else 'epochs'}."
                raise UsageError(f"plan {chosen.name}", expected=f"no option {key}", got="one", todo=todo)
        if count is not None:
            options[count] = n
        if chosen.name == "snapshot":
            epochs = spec.training.epochs
            if epochs % n:
                raise UsageError(
                    "epochs",
                    expected=f"a multiple of n={n}, since each snapshot has a cycle of its own",
                    got=str(epochs),
                )
            options["epochs_per_cycle"] = epochs // n
        plan = PLANS.make(
            str(chosen.name), spec=spec, dataset=self.data, store=NOWHERE, device=self.device, **options
        )
        if not isinstance(plan, Independent | Boosting):
            raise UsageError("plan", expected="one whose fits need no store", got=f"'{chosen.name}'")
        return plan


_COUNTS = {"bagging": "networks", "boosting": "stages", "snapshot": "n_snapshots"}
"""Plans that make several networks in one run, and the option with their number."""


def _numbered(spec: MemberSpec, number: int) -> MemberSpec:
    """Return the settings of one of several networks."""
    return replace(spec, name=f"{spec.name}_{number + 1}", seed=derive(spec.seed, "network", number))


def _kept(plan: Independent, made: Mapping[str, Stored]) -> list[nn.Module]:
    """Return the members among what a run made."""
    if isinstance(plan, Bagging):
        return list(cast("Ensemble", made[plan.name]).members)
    if isinstance(plan, Averaging):
        averaged = made[plan.swa]
        averaged.name = plan.name
        return [averaged]
    return [made[name] for name in (plan.others if isinstance(plan, Snapshot) else [plan.name])]


def _history(job: Job) -> list[Mapping[str, Any]]:
    state = cast("InMemory", job.folder).state
    return list(state["history"]) if state else []
