"""A plan of a backbone: a single fit with a motto in its provenance."""

from __future__ import annotations

import torch

from committee.images.dataset import Dataset
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.plans import Single


class GuestPlan(Single):
    """A single fit with a motto in the provenance of the member.

    Parameters
    ----------
    spec : MemberSpec
    dataset : Dataset
    store : Store
    device : torch.device
    motto : str
        The motto.
    """

    def __init__(
        self, spec: MemberSpec, dataset: Dataset, store: Store, device: torch.device, motto: str = "none"
    ) -> None:
        super().__init__(spec, dataset, store, device)
        self.motto = motto

    def made(self, trained, rows, fold):
        """Return the member with its motto; see the base class."""
        made = super().made(trained, rows, fold)
        made[self.name].provenance["motto"] = self.motto
        return made
