"""Base of the plans whose fits do not depend on each other, so that several can be trained together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from committee.training.fit.batches import Rows
from committee.training.fit.job import Extra, Trained
from committee.training.plans.base import Stored
from committee.training.plans.shared.of_backbone import OfBackbone


@dataclass(frozen=True, eq=False)
class PlannedFit:
    """One of the fits of a run.

    Attributes
    ----------
    rows : int64 array `[N]`
        Its training rows.
    number : int or None
        Index of the network, if a run trains several.
    extra : Extra
        Additions of the plan.
    """

    rows: Rows
    number: int | None = None
    extra: Extra = field(default_factory=Extra)


class Independent(OfBackbone):
    """A plan that states its fits, and then makes members of what they return.

    See Also
    --------
    committee.training.plans.bagging.Bagging : Several fits in a run.
    committee.training.plans.boosting.Boosting : A plan whose fits depend on those before them.
    """

    @abstractmethod
    def fits(self, rows: Rows, fold: str) -> list[PlannedFit]:
        """Return the fits of a run on `rows`, int64 `[N]`."""

    @abstractmethod
    def made(self, trained: Sequence[Trained], rows: Rows, fold: str) -> dict[str, Stored]:
        """Return the members of a run, by name, from the results of its fits, in their order."""

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Carry out the fits one after the other; see the base class."""
        trained = [
            self.fit(each.rows, fold, fingerprint, epochs, number=each.number, extra=each.extra)
            for each in self.fits(rows, fold)
        ]
        return self.made(trained, rows, fold)
