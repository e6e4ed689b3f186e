"""A plan that trains a backbone once."""

from __future__ import annotations

from committee.training.fit.batches import Rows
from committee.training.plans._of_backbone import OfBackbone
from committee.training.plans.base import Stored


class Plain(OfBackbone):
    """A single fit."""

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Fit the backbone on `rows`; see the base class."""
        return {self.name: self.fit(rows, fold, fingerprint, epochs).member}
