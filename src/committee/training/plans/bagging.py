"""Networks on bootstrap samples, which answer together (Breiman 1996)."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base.limits import at_least
from committee.base.randomness import derive
from committee.images.dataset import Dataset
from committee.models.ensemble import Ensemble
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.fit.batches import Rows
from committee.training.fit.predict import logits_of
from committee.training.plans._of_backbone import OfBackbone
from committee.training.plans.base import Stored

log = logging.getLogger(__name__)


class Bagging(OfBackbone):
    """A bag of networks, each trained on rows drawn with replacement: as many as there are.

    Where images come in groups, groups are drawn. There are no folds: a training row is predicted by the
    networks that did not draw it (about 36.8% of them), and rows that all drew count as seen.

    Parameters
    ----------
    spec, dataset, store, device
        See the base class.
    networks : int
        In the bag.
    """

    def __init__(
        self, spec: MemberSpec, dataset: Dataset, store: Store, device: torch.device, networks: int = 10
    ) -> None:
        super().__init__(spec, dataset, store, device)
        self.networks = at_least(f"{spec.name}: networks in a bag", networks, 2)
        self.folds, self.inference = 0, "refit"

    def options(self) -> dict[str, Any]:
        """Return the size of the bag."""
        return {"networks": self.networks}

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Train all networks of the bag."""
        members = []
        for number, bag in enumerate(self.bags(rows, fold)):
            self._name_absent(rows, bag, number)
            members.append(self.fit(bag, fold, fingerprint, epochs, number=number).member)
        done = [member.provenance["epochs"] for member in members]
        bagged = Ensemble(
            members,
            names=[member.name for member in members],
            name=self.name,
            provenance={"epochs": int(np.median(done)), "networks": self.networks},
        )
        return {self.name: bagged.eval()}

    def out_of_bag(self, member: Stored, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return what the networks that did not draw a row say of it, and which rows all of them drew."""
        assert isinstance(member, Ensemble)
        drew = np.stack([np.isin(rows, bag) for bag in self.bags(rows, "refit")])
        answers = (
            np.exp(
                _log_softmax(
                    logits_of(network, self.dataset, rows, batch_size=self.batch_size, device=self.device)
                )
            )
            for network in member.members
        )
        mean, seen = mean_of_others(answers, drew)
        log.info("%s: %d of %d rows were drawn by all of its networks", self.name, seen.sum(), len(rows))
        return np.log(np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32), seen

    def bags(self, rows: Rows, fold: str) -> list[Rows]:
        """Return the rows that each network draws, repeated ones repeated; sorted."""
        groups = None if self.dataset.groups is None else self.dataset.groups[rows]
        seeds = (derive(self.spec.seed, self.name, fold, "bag", number) for number in range(self.networks))
        return [bootstrap(rows, groups, seed) for seed in seeds]

    def _name_absent(self, rows: Rows, bag: Rows, number: int) -> None:
        labels = self.dataset.labels
        absent = np.setdiff1d(labels[rows], labels[bag])
        if len(absent):
            names = ", ".join(self.dataset.class_names[label] for label in absent)
            log.warning("%s: its network %d drew no image of %s: it will find none", self.name, number, names)


def bootstrap(rows: Rows, groups: NDArray[np.int64] | None, seed: int) -> Rows:
    """Draw as many rows as there are, with replacement; of grouped rows, as many groups as there are.

    Parameters
    ----------
    rows : int64 `[N]`
    groups : int64 `[N]` or None

    Returns
    -------
    int64 array, sorted
        A row is there as often as it was drawn.
    """
    generator = np.random.default_rng(seed)
    if groups is None:
        return np.sort(generator.choice(rows, len(rows)))
    names, place = np.unique(groups, return_inverse=True)
    times = np.bincount(generator.integers(0, len(names), len(names)), minlength=len(names))
    return np.repeat(rows, times[place])


def mean_of_others(answers: Any, drew: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Average, for each row, the answers of the networks that did not draw it.

    Parameters
    ----------
    answers : iterable of arrays `[N, ...]`
        Of each network in turn: probabilities or numbers.
    drew : bool `[B, N]`
        Which network drew which row.

    Returns
    -------
    mean : float64 `[N, ...]`
        Of a row that all drew: of all networks.
    seen : bool `[N]`
        Rows that all drew.
    """
    seen: NDArray[np.bool_] = np.asarray(drew.all(axis=0))
    counts = ~drew | seen
    total: NDArray[np.float64] = np.zeros(1)
    for answer, counted in zip(answers, counts, strict=True):
        answer = np.asarray(answer, np.float64)
        total = total + answer * counted.reshape(-1, *[1] * (answer.ndim - 1))
    shape = (-1, *[1] * (total.ndim - 1))
    return total / counts.sum(axis=0).reshape(shape), seen


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return torch.from_numpy(logits).log_softmax(1).numpy()
