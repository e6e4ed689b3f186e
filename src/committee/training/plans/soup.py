"""Plan that averages the weights of stored networks (model soup)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from committee.errors import TrainingError, UsageError
from committee.models.member import Member
from committee.recipe.runs import ModelSoup
from committee.training.fit.barriers import Barriers
from committee.training.fit.batches import Rows
from committee.training.fit.embeddings import one_network
from committee.training.fit.weight_averager import FEW, SoupContext, WeightAverager, some_rows
from committee.training.plans.base import Derived, Inputs, Stored
from committee.training.soups.base import SOUPS, Choice

log = logging.getLogger(__name__)

NAMES = {"log_loss": "log-loss", "standardized_rmse": "rmse in standard deviations"}
"""Losses of soups in words."""


class SoupPlan(Derived):
    """Average of the weights of stored networks: a model soup (Wortsman et al. 2022).

    The loss barriers between the networks are measured first. Networks behind a barrier of more than
    `section.barrier` are aligned by permuting their channels, and left out if the barrier remains. A soup of
    members averages networks of the same fold, so it has out-of-fold predictions. A soup of the fold networks
    of one member has none: they have seen all rows.

    A method that chooses networks by their losses does so on the val split. Without one, the weights of a
    fold are chosen by the networks of the other folds, on the rows that those were not trained on, and the
    weights of the refit by the networks of all folds.

    Parameters
    ----------
    name : str
    method : str
        An entry of `SOUPS`.
    inputs : Inputs
        Members whose networks are averaged; of one member, the networks of its folds.
    section : ModelSoup
        `runs.model_soup` of the recipe.

    Raises
    ------
    UsageError
        The method chooses networks by their losses, but there are no rows that they have not seen (`check`).
    TrainingError
        There are barriers between all networks (`run`).

    See Also
    --------
    committee.training.soups.base.Soup : Base class of the methods.
    Averaging : Averages of the weights of one run.

    Examples
    --------
    >>> from committee.recipe.runs import ModelSoup
    >>> from committee.training.plans._example import example_inputs
    >>> plan = SoupPlan("soup", "uniform", example_inputs("first", "second"), ModelSoup(barrier=0.2))
    >>> plan.facts()["of"], plan.settings()["barrier"]
    (['first', 'second'], 0.2)
    """

    section = "runs.model_soup"

    def __init__(self, name: str, method: str, inputs: Inputs, section: ModelSoup) -> None:
        super().__init__(name, inputs)
        self.method, self.config, self.soup = method, section, SOUPS.make(method)
        self.epochs = 0
        self.of_folds = len(self.members) == 1
        if self.of_folds:
            self.inference = "refit"
        cross_fitted = not self.of_folds and "fold_0" in inputs.store.folds(self.members[0])
        self.folds = inputs.dealt_folds() if cross_fitted else 0
        self._prepared: dict[str, _Prepared] = {}

    def settings(self) -> Mapping[str, Any]:
        """Return the networks and how they are averaged."""
        chosen = {"chosen_on": self._chosen_on()} if self.soup.needs_validation else {}
        return {
            "plan": f"soup_{self.method}",
            "sources": dict(self.inputs.sources),
            "folds": self.of_folds,
            "barrier": self.config.barrier,
            "recompute_bn": self.config.recompute_bn,
            "num_batches": self.config.num_batches,
            "seed": self.seed,
            **chosen,
        }

    def facts(self) -> Mapping[str, Any]:
        """Return the properties of the members, and their names."""
        first = self.inputs.facts[self.members[0]]
        kept = {key: first[key] for key in ("backbone", "seed", "img_size", "pretrained") if key in first}
        return {**kept, "plan": f"soup_{self.method}", "inference": self.inference, "of": self.members}

    def check(self) -> None:
        """Raise UsageError if the soup chooses by losses and its networks have seen all rows."""
        if self.soup.needs_validation and not self._chosen_on():
            raise UsageError(
                self.name,
                expected="rows that none of the networks was trained on, by which the soup chooses them",
                got="neither a val split nor folds of members",
                todo="Set dataset.val_size=0.1 and train in another store, or use the uniform soup.",
            )

    def _chosen_on(self) -> str:
        """Return the kind of the rows on which networks can be chosen; empty if there are none."""
        if len(self.dataset.rows("val")):
            return "val"
        return "out-of-fold" if self.folds else ""

    def choosing_rows(self, split: Literal["val", "test"]) -> Rows:
        """Return the val rows if the soup is selected on them; see the base class."""
        chooses = split == "val" and self._judged_kind() == "val"
        return self.dataset.rows("val") if chooses else super().choosing_rows(split)

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Measure barriers, choose weights, average, and measure the result; see the base class."""
        prepared = self._prepare(fold, rows)
        averager, losses, report = prepared.averager, prepared.losses, dict(prepared.report)
        if len(losses) < 2:
            raise self._refusal(fold, prepared)
        for name, why in report["left_out"].items():
            log.warning("%s/%s: %s is left out: %s", self.name, fold, name, why)
        if self.soup.needs_validation and self._chosen_on() == "out-of-fold":
            choice = self._choice(fold)
            judged = {name: choice.loss({name: 1.0}) for name in losses}
            losses = {name: judged[name] for name in sorted(judged, key=lambda name: (judged[name], name))}
            report["chosen_on"] = "out-of-fold"
        else:
            choice = Choice([lambda: averager])
        weights = self.soup.weights(choice, losses)
        soup = averager.blend(weights)
        report |= {"weights": weights, "losses": losses, "rows": self._judged_kind()}
        report |= self._measured(averager, soup, weights)
        lengths = [averager.members[name].provenance.get("epochs", 0) for name in weights]
        summary = _summary(report)
        soup.provenance = {"epochs": int(max(lengths)), "soup": report, "summary": summary}
        log.debug("%s/%s: %s", self.name, fold, summary)
        return {self.name: soup}

    def _judged_kind(self) -> str:
        return "val" if self.soup.needs_validation and self._chosen_on() == "val" else "train"

    def _choice(self, fold: str) -> Choice:
        """Return the networks and held-out rows of all folds but the given one."""
        rows = self.dataset.rows("train")
        dealt = self.dataset.folds[rows]
        others = [k for k in range(self.folds) if f"fold_{k}" != fold]

        def part(k: int) -> WeightAverager:
            averager = self._prepare(f"fold_{k}", rows[dealt != k]).averager
            held_out = some_rows(rows[dealt == k], self.seed)
            return averager.judging(held_out)

        return Choice([functools.partial(part, k) for k in others])

    def _prepare(self, fold: str, rows: Rows) -> _Prepared:
        """Return the networks of a fit, aligned where that helps, and which of them can be averaged."""
        if fold not in self._prepared:
            judged = self.dataset.rows("val") if self._judged_kind() == "val" else some_rows(rows, self.seed)
            context = SoupContext(
                self.dataset,
                rows,
                judged,
                self.batch_size,
                self.device,
                self.config.recompute_bn,
                self.config.num_batches,
                self.seed,
            )
            averager = WeightAverager(self._networks(fold), context, self.name)
            self._prepared[fold] = self._connected(averager)
        return self._prepared[fold]

    def _networks(self, fold: str) -> Mapping[str, Member]:
        """Return the networks that are averaged for a fit, by name; they are loaded when they are used."""
        store = self.store
        if self.of_folds:
            (member,) = self.members
            places = {each: store.checkpoint(member, each) for each in store.folds(member) if each != "refit"}
        else:
            places = {member: store.checkpoint(member, fold) for member in self.members}
        return _Networks(places, self._load)

    def __getstate__(self) -> dict[str, object]:
        """Return the state for another process, without the networks that are kept in memory."""
        return {key: value for key, value in vars(self).items() if key != "_load"} | {"_prepared": {}}

    @functools.cached_property
    def _load(self) -> Callable[[Path], Member]:
        """The function that loads a network; it keeps those of one fit in memory."""
        networks = max(len(self.members), 2)
        return functools.lru_cache(networks)(functools.partial(one_network, trusted=self.inputs.trusted))

    def _connected(self, averager: WeightAverager) -> _Prepared:
        """Choose the networks that are averaged: the anchor, and those without a barrier to it.

        The anchor is the best network to which at least one other has no barrier. Those behind a barrier are
        aligned with it; if that removes the barrier, they are averaged too.
        """
        losses = {name: averager.loss(member) for name, member in averager.members.items()}
        left_out = {name: "its outputs are not finite" for name, loss in losses.items() if np.isinf(loss)}
        order = sorted(losses.keys() - left_out.keys(), key=lambda name: (losses[name], name))
        if not order:
            return _Prepared(averager, {}, {"barriers": {}, "aligned": {}, "left_out": left_out})
        barriers = Barriers(averager, self.config.barrier)
        anchor = next((name for name in order if barriers.connected(name, order)), order[0])
        far = [name for name in order if name not in (anchor, *barriers.connected(anchor, order))]
        for name in far:
            barriers.align(name, anchor)
        kept = [name for name in order if name == anchor or barriers.between(anchor, name) <= barriers.most]
        left_out |= {name: barriers.describe(name, anchor) for name in far if name not in kept}
        report = {
            "barriers": barriers.to_others(anchor, order),
            "aligned": {name: before for name, before in barriers.before.items() if name in kept},
            "left_out": left_out,
        }
        return _Prepared(averager, {name: losses[name] for name in kept}, report)

    def _refusal(self, fold: str, prepared: _Prepared) -> TrainingError:
        why = "; ".join(f"{name}: {why}" for name, why in prepared.report["left_out"].items())
        return TrainingError(
            f"{self.name}/{fold}",
            expected=f"two networks without a loss barrier above {self.config.barrier:g}",
            got=why or ", ".join(prepared.averager.members),
            todo="Train them from the same initial weights (training.start_seed, or pretrained weights), "
            "or combine their predictions instead.",
        )

    def _measured(
        self, averager: WeightAverager, soup: Member, weights: Mapping[str, float]
    ) -> dict[str, Any]:
        """Return the loss of the soup, with estimated and with averaged batch-norm statistics."""
        if not averager.batch_norm or len(weights) < 2:
            return {averager.metric: averager.loss(soup)}
        other = averager.blend(weights, 0)
        if not self.config.recompute_bn:
            averager.recompute(other, max(FEW, self.config.num_batches))
        stored, compared = averager.loss(soup), averager.loss(other)
        estimated, averaged = (stored, compared) if self.config.recompute_bn else (compared, stored)
        return {averager.metric: stored, "recomputed_bn": estimated, "averaged_bn": averaged}


@dataclass(frozen=True, eq=False)
class _Prepared:
    """The networks of one fit, and which of them can be averaged.

    Attributes
    ----------
    averager : WeightAverager
        All networks; some are aligned.
    losses : dict of str to float
        Losses of the networks that can be averaged, the best first; fewer than two if there are barriers
        between all of them.
    report : dict
        Barriers to the anchor, those before alignment, and why networks are left out.
    """

    averager: WeightAverager
    losses: dict[str, float]
    report: dict[str, Any]


class _Networks(Mapping[str, Member]):
    """Stored networks by name, which are loaded when they are used."""

    def __init__(self, places: Mapping[str, Path], load: Callable[[Path], Member]) -> None:
        self.places, self.load = places, load

    def __getitem__(self, name: str) -> Member:
        return self.load(self.places[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _summary(report: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{name} {weight:.2f}" for name, weight in report["weights"].items())
    metric = next(key for key in report if key in NAMES)
    text = f"{parts}; {NAMES[metric]} {report[metric]:.4f} on {report['rows']} rows"
    if "chosen_on" in report:
        text += f", chosen on {report['chosen_on']} rows"
    if "averaged_bn" in report:
        text += (
            f" (batch norm: {report['recomputed_bn']:.4f} recomputed, {report['averaged_bn']:.4f} averaged)"
        )
    return text
