"""Plan that trains a backbone once with a cyclic learning rate, and keeps a snapshot of each cycle."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch

from committee.base.limits import at_least
from committee.errors import TrainingError
from committee.images.dataset import Dataset
from committee.models.ensemble import Ensemble
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.fit.batches import Rows
from committee.training.fit.job import Extra, Trained
from committee.training.fit.start import wanted_head_epochs
from committee.training.fit.weight_trackers import Snapshots
from committee.training.plans.base import Stored
from committee.training.plans.shared.independent import Independent, PlannedFit
from committee.training.plans.shared.of_backbone import with_weights


class Snapshot(Independent):
    """Mean probability of the snapshots of one run, one at the end of each cycle (Huang et al. 2017).

    Each snapshot is also a member of its own, `<name>_<n>`.

    Parameters
    ----------
    spec : MemberSpec
        The number of epochs and the schedule follow from the cycles; early stopping is ignored.
    dataset : Dataset
    store : Store
    device : torch.device
    n_snapshots : int
        Number of cycles, at least 2.
    epochs_per_cycle : int
        Number of epochs of each cycle.

    Raises
    ------
    UsageError
        There are fewer than two cycles, or a cycle has no epoch.

    See Also
    --------
    Averaging : Averages of the weights of one run.

    Examples
    --------
    >>> from committee.training.plans._example import example_arguments
    >>> plan = Snapshot(**example_arguments(), n_snapshots=3, epochs_per_cycle=4)
    >>> plan.epochs, plan.others
    (12, ('test_resnet_1', 'test_resnet_2', 'test_resnet_3'))
    """

    single_network: ClassVar[bool] = False
    fixes = (
        "the plan snapshot derives epochs and schedule from its cycles, and keeps the weights at their ends"
    )

    def __init__(
        self,
        spec: MemberSpec,
        dataset: Dataset,
        store: Store,
        device: torch.device,
        n_snapshots: int = 5,
        epochs_per_cycle: int = 10,
    ) -> None:
        super().__init__(spec, dataset, store, device)
        self.n_snapshots = at_least(f"{spec.name}: n_snapshots", n_snapshots, 2)
        self.epochs_per_cycle = at_least(f"{spec.name}: epochs_per_cycle", epochs_per_cycle, 1)
        head = wanted_head_epochs(spec)
        self.epochs = epochs = head + n_snapshots * epochs_per_cycle
        self.spec = self.fixed(
            scheduler="cyclic", cycle_epochs=epochs_per_cycle, epochs=epochs, head_epochs=head, ema=None
        )
        self.others = tuple(f"{self.name}_{number}" for number in range(1, n_snapshots + 1))

    def options(self) -> dict[str, Any]:
        """Return number and length of the cycles."""
        return {"n_snapshots": self.n_snapshots, "epochs_per_cycle": self.epochs_per_cycle}

    def fits(self, rows: Rows, fold: str) -> list[PlannedFit]:
        """Return the single fit, which keeps a copy of its weights at the end of each cycle."""
        return [PlannedFit(rows, extra=Extra(trackers=(partial(Snapshots, cycle=self.epochs_per_cycle),)))]

    def made(self, trained: Sequence[Trained], rows: Rows, fold: str) -> dict[str, Stored]:
        """Return the mean of the snapshots, and each of them; see the base class."""
        [run] = trained
        if len(run.tracked) < self.n_snapshots:
            raise TrainingError(
                f"{self.name}/{fold}",
                expected=f"{self.n_snapshots} snapshots",
                got=f"{len(run.tracked)}: the run was interrupted",
                todo="Run the command again: it continues where it stopped.",
            )
        parts = {
            name: with_weights(run.member, run.tracked[str(number)], name)
            for number, name in enumerate(self.others, 1)
        }
        for number, part in enumerate(parts.values(), 1):
            later = self.n_snapshots - number
            part.provenance["epochs"] = self.spec.training.epochs - later * self.epochs_per_cycle
        averaged = Ensemble(
            list(parts.values()), names=list(parts), name=self.name, provenance=run.member.provenance
        )
        return {self.name: averaged.eval(), **parts}
