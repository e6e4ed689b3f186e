"""Plan that averages the weights of stored networks (model soup)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from committee.errors import TrainingError, UsageError
from committee.models.member import Member
from committee.recipe.runs import ModelSoup
from committee.training.fit.batches import Rows
from committee.training.fit.embeddings import one_network
from committee.training.fit.weight_averager import FEW, SoupContext, WeightAverager, some_rows
from committee.training.plans.base import Derived, Inputs, Stored
from committee.training.soups.base import SOUPS

log = logging.getLogger(__name__)


class SoupPlan(Derived):
    """Average of the weights of stored networks: a model soup (Wortsman et al. 2022).

    The loss barriers between the networks are measured first, and those behind a barrier of more than
    `section.barrier` are left out. A soup of members averages networks of the same fold, so it has
    out-of-fold predictions. A soup of the fold networks of one member has none: they have seen all rows.

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
        The method chooses networks by their losses, but the data set has no validation split (`check`).
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
        """Return the properties of the members, and their names."""
        first = self.inputs.facts[self.members[0]]
        kept = {key: first[key] for key in ("backbone", "seed", "img_size", "pretrained") if key in first}
        return {**kept, "plan": f"soup_{self.method}", "inference": self.inference, "of": self.members}

    def check(self) -> None:
        """Raise UsageError if the soup chooses by losses and there is no validation split."""
        if self.soup.needs_validation and not len(self.dataset.rows("val")):
            raise UsageError(
                self.name,
                expected="a validation split, on which the soup chooses networks",
                got="none",
                todo="Set dataset.val_size=0.1 and train in another store, or use the uniform soup.",
            )

    def choosing_rows(self, split: Literal["val", "test"]) -> Rows:
        """Return the val rows if the soup is selected on them; see the base class."""
        chooses = split == "val" and self.soup.needs_validation
        return self.dataset.rows("val") if chooses else super().choosing_rows(split)

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Measure barriers, choose weights, average, and measure the result; see the base class."""
        judged = self.dataset.rows("val") if self.soup.needs_validation else some_rows(rows, self.seed)
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
        losses, report = self._connected(averager, fold)
        weights = self.soup.weights(averager.only(list(losses)), losses)
        soup = averager.blend(weights)
        report |= {
            "weights": weights,
            "losses": losses,
            "rows": "val" if self.soup.needs_validation else "train",
        }
        report |= self._measured(averager, soup, weights)
        lengths = [averager.members[name].provenance.get("epochs", 0) for name in weights]
        summary = _summary(report)
        soup.provenance = {"epochs": int(max(lengths)), "soup": report, "summary": summary}
        log.debug("%s/%s: %s", self.name, fold, summary)
        return {self.name: soup}

    def _networks(self, fold: str) -> dict[str, Member]:
        """Return the networks that are averaged for a fit, by name."""
        store = self.store
        if self.of_folds:
            (member,) = self.members
            places = {each: store.checkpoint(member, each) for each in store.folds(member) if each != "refit"}
        else:
            places = {member: store.checkpoint(member, fold) for member in self.members}
        return {name: one_network(place, self.inputs.trusted) for name, place in places.items()}

    def _connected(self, averager: WeightAverager, fold: str) -> tuple[dict[str, float], dict[str, Any]]:
        """Choose the networks that are averaged: the anchor, and those without a barrier to it.

        The anchor is the best network to which at least one other has no barrier.

        Returns
        -------
        losses : dict of str to float
            Losses of the chosen networks, the best first.
        report : dict
            Barriers to the anchor, and why networks are left out.
        """
        losses = {name: averager.loss(member) for name, member in averager.members.items()}
        left_out = {name: "its outputs are not finite" for name, loss in losses.items() if np.isinf(loss)}
        order = sorted(losses.keys() - left_out.keys(), key=lambda name: (losses[name], name))
        barriers = _Barriers(averager, losses, self.config.barrier)
        anchor = next((name for name in order if barriers.connected(name, order)), None)
        if anchor is None:
            left_out |= {name: barriers.describe(name, order[0]) for name in order[1:]}
            raise TrainingError(
                f"{self.name}/{fold}",
                expected=f"two networks without a loss barrier above {self.config.barrier:g}",
                got="; ".join(f"{name}: {why}" for name, why in left_out.items()) or ", ".join(order),
                todo="Train them from the same initial weights (training.start_seed, or pretrained weights), "
                "or combine their predictions instead.",
            )
        connected = barriers.connected(anchor, order)
        kept = {name: losses[name] for name in order if name == anchor or name in connected}
        left_out |= {name: barriers.describe(name, anchor) for name in order if name not in kept}
        for name, why in left_out.items():
            log.warning("%s/%s: %s is left out: %s", self.name, fold, name, why)
        return kept, {"barriers": barriers.to_others(anchor, order), "left_out": left_out}

    def _measured(
        self, averager: WeightAverager, soup: Member, weights: Mapping[str, float]
    ) -> dict[str, Any]:
        """Return the log-loss of the soup, with estimated and with averaged batch-norm statistics."""
        if not averager.batch_norm or len(weights) < 2:
            return {"log_loss": averager.loss(soup)}
        other = averager.blend(weights, 0)
        if not self.config.recompute_bn:
            averager.recompute(other, max(FEW, self.config.num_batches))
        stored, compared = averager.loss(soup), averager.loss(other)
        estimated, averaged = (stored, compared) if self.config.recompute_bn else (compared, stored)
        return {"log_loss": stored, "recomputed_bn": estimated, "averaged_bn": averaged}


class _Barriers:
    """Loss barriers between networks, each measured at most once.

    Parameters
    ----------
    averager : WeightAverager
    losses : mapping of str to float
        Log-loss of each network.
    most : float
        Largest barrier between networks that are averaged.
    """

    def __init__(self, averager: WeightAverager, losses: Mapping[str, float], most: float) -> None:
        self.averager, self.losses, self.most = averager, losses, most
        self._measured = dict[frozenset[str], float]()

    def between(self, one: str, other: str) -> float:
        """Return the barrier between two networks."""
        pair = frozenset((one, other))
        if pair not in self._measured:
            self._measured[pair] = self.averager.barrier(one, other, self.losses)
        return self._measured[pair]

    def to_others(self, anchor: str, names: Sequence[str]) -> dict[str, float]:
        """Return the barriers between the anchor and each other network."""
        return {name: self.between(anchor, name) for name in names if name != anchor}

    def connected(self, anchor: str, names: Sequence[str]) -> list[str]:
        """Return the other networks without a barrier to the anchor."""
        return [name for name, barrier in self.to_others(anchor, names).items() if barrier <= self.most]

    def describe(self, name: str, anchor: str) -> str:
        """Return why a network is not averaged with the anchor."""
        starts = [self.averager.members[each].provenance.get("start") for each in (name, anchor)]
        other = "" if starts[0] == starts[1] else "; their initial weights differ"
        return f"the loss barrier to {anchor} is {self.between(anchor, name):.3f}{other}"


def _summary(report: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{name} {weight:.2f}" for name, weight in report["weights"].items())
    text = f"{parts}; log-loss {report['log_loss']:.4f} on {report['rows']} rows"
    if "averaged_bn" in report:
        text += (
            f" (batch norm: {report['recomputed_bn']:.4f} recomputed, {report['averaged_bn']:.4f} averaged)"
        )
    return text
