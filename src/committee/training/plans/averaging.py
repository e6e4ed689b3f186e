"""One network, and the averages of its weights on the way: SWA over the last epochs, EMA over all steps."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch

from committee.base.limits import a_share
from committee.images.dataset import Dataset
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.fit.batch_norm import recompute
from committee.training.fit.batches import Rows
from committee.training.fit.job import Extra
from committee.training.fit.start import starting_weights
from committee.training.fit.weight_trackers import MovingAverage, TailAverage
from committee.training.plans._of_backbone import OfBackbone, with_weights
from committee.training.plans.base import Stored


class Averaging(OfBackbone):
    """A single fit, and two members of the same run: `swa_<name>` and `ema_<name>`.

    SWA (Izmailov et al. 2018) is the mean of the weights at the end of each of the last epochs; it gains most
    where the learning rate stays up, as with `scheduler: constant`. Both get batch norm's statistics anew.

    Parameters
    ----------
    spec, dataset, store, device
        See the base class. Nothing stops early.
    start : float
        Share of the epochs before SWA begins.
    decay : float
        Share of the EMA that a step keeps.
    num_batches : int
        Batches that batch norm's statistics are estimated from.
    """

    def __init__(
        self,
        spec: MemberSpec,
        dataset: Dataset,
        store: Store,
        device: torch.device,
        start: float = 0.75,
        decay: float = 0.999,
        num_batches: int = 100,
    ) -> None:
        super().__init__(spec, dataset, store, device)
        self.start = a_share(f"{spec.name}: start of SWA", start)
        self.decay = a_share(f"{spec.name}: decay of EMA", decay)
        self.num_batches = num_batches
        self.spec = self.fixed()
        self.epochs = self.spec.training.epochs
        self.swa, self.ema = f"swa_{self.name}", f"ema_{self.name}"
        self.others = (self.swa, self.ema)

    def options(self) -> dict[str, Any]:
        """Return what decides the averages."""
        return {"start": self.start, "decay": self.decay, "num_batches": self.num_batches}

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Train once, following the weights."""
        spec = self.spec
        head = min(spec.training.head_epochs, spec.training.epochs - 1) if starting_weights(spec) else 0
        learning = spec.training.epochs - head
        first = min(learning, math.floor(self.start * learning) + 1)
        follow = (partial(TailAverage, start=first), partial(MovingAverage, decay=self.decay))
        trained = self.fit(rows, fold, fingerprint, extra=Extra(follow=follow))
        made: dict[str, Stored] = {self.name: trained.member}
        for name, kind in ((self.swa, "swa"), (self.ema, "ema")):
            averaged = with_weights(trained.member, trained.found[kind], name)
            recompute(
                averaged,
                self.dataset,
                rows,
                batch_size=self.batch_size,
                device=self.device,
                num_batches=self.num_batches,
                seed=spec.seed,
            )
            made[name] = averaged
        return made
