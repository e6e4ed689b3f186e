"""Plan that trains a backbone once."""

from __future__ import annotations

from committee.training.fit.batches import Rows
from committee.training.plans.base import Stored
from committee.training.plans.shared.of_backbone import OfBackbone


class Single(OfBackbone):
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

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Fit the backbone on `rows`; see the base class."""
        return {self.name: self.fit(rows, fold, fingerprint, epochs).member}
