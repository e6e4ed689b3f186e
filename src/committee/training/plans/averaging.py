"""Plan that trains a backbone once, and also averages its weights (SWA and EMA)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from committee.base.limits import a_share
from committee.images.dataset import Dataset
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.fit.batch_norm import recompute
from committee.training.fit.batches import Rows
from committee.training.fit.job import Extra, Trained
from committee.training.fit.start import head_epochs
from committee.training.fit.weight_trackers import MovingAverage, TailAverage
from committee.training.plans.base import Stored
from committee.training.plans.shared.independent import Independent, PlannedFit
from committee.training.plans.shared.of_backbone import with_weights


class Averaging(Independent):
    """A single fit, with two further members of the same run: `swa_<name>` and `ema_<name>`.

    Stochastic weight averaging (SWA, Izmailov et al. 2018) is the mean of the weights at the ends of the last
    epochs. It gains most where the learning rate stays high, as with `scheduler: constant`. EMA is an
    exponential moving average over all steps. Batch-norm statistics are estimated again for both.

    Parameters
    ----------
    spec : MemberSpec
        Early stopping is ignored.
    dataset : Dataset
    store : Store
    device : torch.device
    start : float
        Share of the epochs before SWA begins, between 0 and 1.
    decay : float
        Share of the EMA that is kept in a step, between 0 and 1.
    num_batches : int
        Number of batches from which batch-norm statistics are estimated.

    Raises
    ------
    UsageError
        A share is not between 0 and 1.

    See Also
    --------
    Snapshot : Several networks of one run as an ensemble.
    SoupPlan : Averages of networks of different runs.

    Examples
    --------
    >>> from committee.training.plans._example import example_arguments
    >>> plan = Averaging(**example_arguments(), decay=0.99)
    >>> plan.name, plan.others
    ('test_resnet', ('swa_test_resnet', 'ema_test_resnet'))
    """

    fixes = "the plan averaging trains all epochs, and keeps the weights of the last one"

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
        """Return start, decay and number of batches."""
        return {"start": self.start, "decay": self.decay, "num_batches": self.num_batches}

    def fits(self, rows: Rows, fold: str) -> list[PlannedFit]:
        """Return the single fit, which also averages its weights; see the base class."""
        learning = self.spec.training.epochs - head_epochs(self.spec)
        first = min(learning, math.floor(self.start * learning) + 1)
        trackers = (partial(TailAverage, start=first), partial(MovingAverage, decay=self.decay))
        return [PlannedFit(rows, extra=Extra(trackers=trackers))]

    def made(self, trained: Sequence[Trained], rows: Rows, fold: str) -> dict[str, Stored]:
        """Return the network and both averages, with batch-norm statistics of their own."""
        [run] = trained
        made: dict[str, Stored] = {self.name: run.member}
        for name, kind in ((self.swa, "swa"), (self.ema, "ema")):
            averaged = with_weights(run.member, run.tracked[kind], name)
            recompute(
                averaged,
                self.dataset,
                rows,
                batch_size=self.batch_size,
                device=self.device,
                num_batches=self.num_batches,
                seed=self.spec.seed,
            )
            made[name] = averaged
        return made
