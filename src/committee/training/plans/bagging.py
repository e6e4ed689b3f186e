"""Plan that trains a backbone on several bootstrap samples (bagging)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base.limits import at_least
from committee.base.randomness import derive
from committee.images.dataset import Dataset
from committee.models.ensemble import Ensemble
from committee.models.moments import with_variance
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.fit.batches import Rows
from committee.training.fit.job import Trained
from committee.training.fit.predict import logits_of
from committee.training.plans.base import Stored
from committee.training.plans.shared.independent import Independent, PlannedFit

log = logging.getLogger(__name__)


class Bagging(Independent):
    """Mean of networks on bootstrap samples (Breiman 1996): of their probabilities, or of their numbers.

    Each network is trained on as many rows as there are, drawn with replacement; if images have groups,
    groups are drawn. There are no folds: a training row is predicted by the networks that did not draw it
    (about 36.8% of them), and rows that all of them drew count as seen.

    Parameters
    ----------
    spec : MemberSpec
    dataset : Dataset
    store : Store
    device : torch.device
    networks : int
        Number of networks, at least 2.

    Raises
    ------
    UsageError
        There are fewer than two networks.

    See Also
    --------
    Boosting : Networks that are trained one after the other.

    Examples
    --------
    >>> from committee.training.plans._example import example_arguments
    >>> plan = Bagging(**example_arguments(), networks=3)
    >>> [len(rows) for rows in plan.bags(plan.dataset.rows("train"), "refit")]
    [8, 8, 8]
    """

    single_network: ClassVar[bool] = False
    fixes = "the plan bagging has no folds, since networks predict the rows that they did not draw"

    def __init__(
        self, spec: MemberSpec, dataset: Dataset, store: Store, device: torch.device, networks: int = 10
    ) -> None:
        super().__init__(spec, dataset, store, device)
        self.networks = at_least(f"{spec.name}: networks in a bag", networks, 2)
        self.folds, self.inference = 0, "refit"

    def options(self) -> dict[str, Any]:
        """Return the number of networks."""
        return {"networks": self.networks}

    def fits(self, rows: Rows, fold: str) -> list[PlannedFit]:
        """Return the fit of each network on its bootstrap sample; see the base class."""
        bags = self.bags(rows, fold)
        for number, bag in enumerate(bags):
            self._warn_of_absent_classes(rows, bag, number)
        return [PlannedFit(bag, number) for number, bag in enumerate(bags)]

    def made(self, trained: Sequence[Trained], rows: Rows, fold: str) -> dict[str, Stored]:
        """Return the mean of the networks; see the base class."""
        members = [each.member for each in trained]
        done = [member.provenance["epochs"] for member in members]
        bagged = Ensemble(
            members,
            names=[member.name for member in members],
            name=self.name,
            provenance={"epochs": int(np.median(done)), "networks": self.networks},
        )
        return {self.name: bagged.eval()}

    def out_of_bag(self, member: Stored, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return predictions by the networks that did not draw a row; see the base class."""
        assert isinstance(member, Ensemble)
        drew = np.stack([np.isin(rows, bag) for bag in self.bags(rows, "refit")])
        image: Rows = np.searchsorted(rows, self.dataset.table.rows[self.dataset.positions(rows)])
        drew = drew[:, image]
        task = self.dataset.task
        outputs = (
            task.averaged(
                logits_of(
                    with_variance(network), self.dataset, rows, batch_size=self.batch_size, device=self.device
                )
            )
            for network in member.members
        )
        mean, seen = mean_of_others(outputs, drew)
        log.info(
            "%s: %d of %d rows were drawn by all networks and count as seen", self.name, seen.sum(), len(seen)
        )
        return task.from_average(mean), seen

    def bags(self, rows: Rows, fold: str) -> list[Rows]:
        """Return the bootstrap sample of each network: sorted rows, some of them repeated."""
        groups = None if self.dataset.groups is None else self.dataset.groups[rows]
        seeds = (derive(self.spec.seed, self.name, fold, "bag", number) for number in range(self.networks))
        return [bootstrap(rows, groups, seed) for seed in seeds]

    def _warn_of_absent_classes(self, rows: Rows, bag: Rows, number: int) -> None:
        """Log the classes of which a network has no training image."""
        labels = self.dataset.labels
        if not self.dataset.target_type.everywhere:
            return
        absent = np.setdiff1d(labels[rows], labels[bag])
        if len(absent):
            names = ", ".join(self.dataset.class_names[label] for label in absent)
            log.warning("%s: the bootstrap sample of network %d has no image of %s", self.name, number, names)


def bootstrap(rows: Rows, groups: NDArray[np.int64] | None, seed: int) -> Rows:
    """Draw as many rows, or groups of rows, as there are, with replacement.

    Parameters
    ----------
    rows : int64 `[N]`
    groups : int64 `[N]` or None
    seed : int

    Returns
    -------
    int64 array, sorted
        Each row is repeated as often as it was drawn.
    """
    generator = np.random.default_rng(seed)
    if groups is None:
        return np.sort(generator.choice(rows, len(rows)))
    names, place = np.unique(groups, return_inverse=True)
    times = np.bincount(generator.integers(0, len(names), len(names)), minlength=len(names))
    return np.repeat(rows, times[place])


def mean_of_others(outputs: Any, drew: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Average the outputs of those networks that did not draw a row, for each row.

    Parameters
    ----------
    outputs : iterable of arrays `[N, ...]`
        Outputs of each network, such as probabilities.
    drew : bool `[B, N]`
        Whether a network drew a row.

    Returns
    -------
    mean : float64 array `[N, ...]`
        For a row that all networks drew, the mean of all.
    seen : bool array `[N]`
        The rows that all networks drew.
    """
    seen: NDArray[np.bool_] = np.asarray(drew.all(axis=0))
    counts = ~drew | seen
    total: NDArray[np.float64] = np.zeros(1)
    for output, counted in zip(outputs, counts, strict=True):
        output = np.asarray(output, np.float64)
        total = total + output * counted.reshape(-1, *[1] * (output.ndim - 1))
    shape = (-1, *[1] * (total.ndim - 1))
    return total / counts.sum(axis=0).reshape(shape), seen
