"""Networks from one run with a cyclic learning rate, which answer together (Huang et al. 2017)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from committee.base.limits import at_least
from committee.errors import TrainingError
from committee.images.dataset import Dataset
from committee.models.ensemble import Ensemble
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.fit.batches import Rows
from committee.training.fit.job import Extra
from committee.training.fit.start import starting_weights
from committee.training.fit.weight_trackers import Snapshots
from committee.training.plans._of_backbone import OfBackbone, with_weights
from committee.training.plans.base import Stored


class Snapshot(OfBackbone):
    """The mean of a network's snapshots, one at the end of each cycle; each is a member `<name>_<n>` too.

    Parameters
    ----------
    spec, dataset, store, device
        See the base class. Epochs and schedule follow from the cycles; nothing stops early.
    n_snapshots : int
        Cycles.
    epochs_per_cycle : int
    """

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
        head = spec.training.head_epochs if starting_weights(spec) else 0
        self.epochs = epochs = head + n_snapshots * epochs_per_cycle
        self.spec = self.fixed(
            scheduler="cyclic", cycle_epochs=epochs_per_cycle, epochs=epochs, head_epochs=head, ema=None
        )
        self.others = tuple(f"{self.name}_{number}" for number in range(1, n_snapshots + 1))

    def options(self) -> dict[str, Any]:
        """Return the cycles."""
        return {"n_snapshots": self.n_snapshots, "epochs_per_cycle": self.epochs_per_cycle}

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Train once, and take the snapshots."""
        extra = Extra(follow=(partial(Snapshots, cycle=self.epochs_per_cycle),))
        trained = self.fit(rows, fold, fingerprint, extra=extra)
        if len(trained.found) < self.n_snapshots:
            raise TrainingError(
                f"{self.name}/{fold}",
                expected=f"{self.n_snapshots} snapshots",
                got=f"{len(trained.found)}: the run was cut short",
                todo="Run it again: it goes on where it stopped.",
            )
        parts = {
            name: with_weights(trained.member, trained.found[str(number)], name)
            for number, name in enumerate(self.others, 1)
        }
        for number, part in enumerate(parts.values(), 1):
            later = self.n_snapshots - number
            part.provenance["epochs"] = self.spec.training.epochs - later * self.epochs_per_cycle
        averaged = Ensemble(
            list(parts.values()), names=list(parts), name=self.name, provenance=trained.member.provenance
        )
        return {self.name: averaged.eval(), **parts}
