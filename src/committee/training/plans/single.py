"""Plan that trains a backbone once."""

from __future__ import annotations

from collections.abc import Sequence

from committee.training.fit.batches import Rows
from committee.training.fit.job import Trained
from committee.training.plans.base import Stored
from committee.training.plans.shared.independent import Independent, PlannedFit


class Single(Independent):
    """A single fit of a backbone.

    Parameters
    ----------
    spec : MemberSpec
    dataset : Dataset
    store : Store
    device : torch.device

    See Also
    --------
    Bagging : Several fits, on bootstrap samples.
    Snapshot : Several networks from one run.
    Averaging : Averages of the weights of one run.

    Examples
    --------
    >>> from committee.training.plans._example import example_arguments
    >>> plan = Single(**example_arguments("training.epochs=8"))
    >>> plan.name, plan.epochs
    ('test_resnet', 8)
    """

    def fits(self, rows: Rows, fold: str) -> list[PlannedFit]:
        """Return the single fit; see the base class."""
        return [PlannedFit(rows)]

    def made(self, trained: Sequence[Trained], rows: Rows, fold: str) -> dict[str, Stored]:
        """Return the member; see the base class."""
        return {self.name: trained[0].member}
