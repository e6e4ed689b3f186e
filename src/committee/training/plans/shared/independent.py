"""Base of the plans whose fits do not depend on each other, so that several can be trained together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from committee.training.fit.batches import Rows
from committee.training.fit.job import Extra, Job, Trained
from committee.training.fit.together import train_together
from committee.training.plans.base import Stored
from committee.training.plans.shared.of_backbone import OfBackbone, carried_out, described


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

    def jobs(self, rows: Rows, fold: str, fingerprint: str, epochs: int | None = None) -> list[Job]:
        """Return the inputs of the fits of a run; see `run`."""
        return [
            self.job(each.rows, fold, fingerprint, epochs, number=each.number, extra=each.extra)
            for each in self.fits(rows, fold)
        ]

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Carry out the fits one after the other, or as one if the plan is `stacked`; see the base class."""
        jobs = self.jobs(rows, fold, fingerprint, epochs)
        if self.stacked and len(jobs) > 1:
            return self.finish(jobs, train_together(jobs), rows, fold)
        return self.made([carried_out(job) for job in jobs], rows, fold)

    def finish(
        self, jobs: Sequence[Job], trained: Sequence[Trained | Exception], rows: Rows, fold: str
    ) -> dict[str, Stored]:
        """Return the members of a run whose fits were carried out; raise the error of one that failed."""
        found = list[Trained]()
        for job, each in zip(jobs, trained, strict=True):
            if isinstance(each, Exception):
                raise each
            found.append(described(job, each))
        return self.made(found, rows, fold)
