"""A plan that makes one network of several, by averaging their weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from committee.errors import TrainingError, UsageError
from committee.models.member import Member
from committee.recipe.runs import ModelSoup
from committee.training.fit.batches import Rows
from committee.training.fit.embeddings import one_network
from committee.training.fit.weight_averager import FEW, SoupContext, WeightAverager, some_rows
from committee.training.plans._derived import Derived, Inputs
from committee.training.plans.base import Stored
from committee.training.soups.base import SOUPS

log = logging.getLogger(__name__)


class SoupPlan(Derived):
    """The average of networks, with the way between them measured first.

    Networks between which the log-loss rises by more than `barrier` are left out, and named. Soups of members
    are made fold by fold, of networks of the same fold, and so have out-of-fold predictions. The soup of a
    member's own folds has seen every row: it has none.

    Parameters
    ----------
    name : str
    method : str
        An entry of `SOUPS`.
    inputs : Inputs
        Members whose networks are averaged; of one member, the networks of its folds.
    section : ModelSoup
        `runs.model_soup` of the recipe.
    """

    section = "runs.model_soup"

    def __init__(self, name: str, method: str, inputs: Inputs, section: ModelSoup) -> None:
        super().__init__(name, inputs)
        self.method, self.config, self.soup = method, section, SOUPS.make(method)
        self.chooses_on = ("val",) if self.soup.needs_apart else ()
        self.epochs = 0
        self.of_folds = len(self.members) == 1
        if self.of_folds:
            self.inference = "refit"
        cross_fitted = not self.of_folds and "fold_0" in inputs.store.folds(self.members[0])
        self.folds = inputs.dealt_folds() if cross_fitted else 0

    def settings(self) -> Mapping[str, Any]:
        """Return the networks and how they are averaged."""
        return {
            "plan": f"soup_{self.method}",
            "sources": dict(self.inputs.sources),
            "folds": self.of_folds,
            "barrier": self.config.barrier,
            "recompute_bn": self.config.recompute_bn,
            "num_batches": self.config.num_batches,
            "seed": self.seed,
        }

    def facts(self) -> Mapping[str, Any]:
        """Return what is known of the members, and whose soup it is."""
        first = self.inputs.facts[self.members[0]]
        kept = {key: first[key] for key in ("backbone", "seed", "img_size", "pretrained") if key in first}
        return {**kept, "plan": f"soup_{self.method}", "inference": self.inference, "of": self.members}

    def check(self) -> None:
        """Refuse a soup that chooses by scores where no rows were kept apart."""
        if self.soup.needs_apart and not len(self.dataset.rows("val")):
            raise UsageError(
                self.name,
                expected="rows kept apart, to choose on",
                got="none",
                todo="Keep some apart, in another store: --set dataset.val_size=0.1; or make it uniform.",
            )

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Measure, choose, average, and estimate batch norm's statistics again."""
        judged = self.dataset.rows("val") if self.soup.needs_apart else some_rows(rows, self.seed)
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
        losses, report = self._without_barriers(averager, fold)
        weights = self.soup.weights(averager.only(list(losses)), losses)
        soup = averager.blend(weights)
        report |= {"weights": weights, "losses": losses, "rows": "val" if self.chooses_on else "train"}
        report |= self._with_and_without(averager, soup, weights)
        lengths = [averager.members[name].provenance.get("epochs", 0) for name in weights]
        summary = _words(report)
        soup.provenance = {"epochs": int(max(lengths)), "soup": report, "summary": summary}
        log.debug("%s/%s: %s", self.name, fold, summary)
        return {self.name: soup}

    def _networks(self, fold: str) -> dict[str, Member]:
        """Return the networks of a fit, by name."""
        store = self.store
        if self.of_folds:
            (member,) = self.members
            places = {each: store.checkpoint(member, each) for each in store.folds(member) if each != "refit"}
        else:
            places = {member: store.checkpoint(member, fold) for member in self.members}
        return {name: one_network(place) for name, place in places.items()}

    def _without_barriers(
        self, averager: WeightAverager, fold: str
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Return the losses of networks that can be averaged, the best first, and why others are left out.

        They are the best network that any other can be averaged with, and all that can be with it.
        """
        losses = {name: averager.loss(member) for name, member in averager.members.items()}
        left_out = {name: "its outputs are no numbers" for name, loss in losses.items() if np.isinf(loss)}
        order = sorted(losses.keys() - left_out.keys(), key=lambda name: (losses[name], name))
        barriers = _Barriers(averager, losses)
        anchor = next((name for name in order if barriers.mates(name, order, self.config.barrier)), None)
        if anchor is None:
            left_out |= {name: barriers.words(name, order[0]) for name in order[1:]}
            raise TrainingError(
                f"{self.name}/{fold}",
                expected=f"two networks without a barrier (above {self.config.barrier:g})",
                got="; ".join(f"{name}: {why}" for name, why in left_out.items()) or ", ".join(order),
                todo="Let them share a start (training.start_seed, or pretrained weights), or let them vote.",
            )
        mates = barriers.mates(anchor, order, self.config.barrier)
        kept = {name: losses[name] for name in order if name == anchor or name in mates}
        left_out |= {name: barriers.words(name, anchor) for name in order if name not in kept}
        for name, why in left_out.items():
            log.warning("%s/%s: without %s: %s", self.name, fold, name, why)
        return kept, {"barriers": barriers.of(anchor, order), "left_out": left_out}

    def _with_and_without(
        self, averager: WeightAverager, soup: Member, weights: Mapping[str, float]
    ) -> dict[str, Any]:
        """Return the log-loss of the soup with statistics estimated again, and with their mean."""
        if not averager.batch_norm or len(weights) < 2:
            return {"log_loss": averager.loss(soup)}
        other = averager.blend(weights, 0)
        if not self.config.recompute_bn:
            averager.recompute(other, max(FEW, self.config.num_batches))
        shipped, measured = averager.loss(soup), averager.loss(other)
        anew, mean = (shipped, measured) if self.config.recompute_bn else (measured, shipped)
        return {"log_loss": shipped, "recomputed_bn": anew, "averaged_bn": mean}


class _Barriers:
    """The barriers between networks, each measured when it is asked for, and once."""

    def __init__(self, averager: WeightAverager, losses: Mapping[str, float]) -> None:
        self.averager, self.losses = averager, losses
        self.known = dict[frozenset[str], float]()

    def between(self, one: str, other: str) -> float:
        """Return the barrier between two networks."""
        pair = frozenset((one, other))
        if pair not in self.known:
            self.known[pair] = self.averager.barrier(one, other, self.losses)
        return self.known[pair]

    def of(self, anchor: str, names: Sequence[str]) -> dict[str, float]:
        """Return the barriers between a network and others."""
        return {name: self.between(anchor, name) for name in names if name != anchor}

    def mates(self, anchor: str, names: Sequence[str], most: float) -> list[str]:
        """Return the networks between which and a network there is no barrier."""
        return [name for name, barrier in self.of(anchor, names).items() if barrier <= most]

    def words(self, name: str, anchor: str) -> str:
        """Return why a network is left out."""
        starts = [self.averager.members[each].provenance.get("start") for each in (name, anchor)]
        other = "" if starts[0] == starts[1] else "; they do not share a start"
        return f"a barrier of {self.between(anchor, name):.3f} between it and {anchor}{other}"


def _words(report: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{name} {weight:.2f}" for name, weight in report["weights"].items())
    text = f"{parts}; log-loss {report['log_loss']:.4f} on {report['rows']} rows"
    if "averaged_bn" in report:
        text += (
            f" (batch norm: {report['recomputed_bn']:.4f} recomputed, {report['averaged_bn']:.4f} averaged)"
        )
    return text
