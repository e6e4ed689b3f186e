"""Plan that puts a stored member under a test-time view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from committee.models.composites.viewed import Viewed
from committee.models.stored import load_network
from committee.models.views.base import SingleView
from committee.training.fit.batches import Rows
from committee.training.plans.base import Derived, Inputs, Stored


class ViewPlan(Derived):
    """A stored member under a view: nothing is trained, and every fit has the weights of the member's fit.

    So the new member has predictions of its own, out-of-fold ones by the networks of the same folds, and any
    combiner can combine it with others.

    Parameters
    ----------
    name : str
    inputs : Inputs
        The member.
    view : SingleView

    See Also
    --------
    committee.models.composites.Viewed : The member that it makes.
    committee.pipeline.stages.tta.Tta : Combines a member with its views.

    Examples
    --------
    >>> from committee.models.views import Hflip, SingleView
    >>> from committee.training.plans._example import example_inputs
    >>> plan = ViewPlan("net_hflip", example_inputs("net"), SingleView(Hflip(), "hflip"))
    >>> plan.facts()["of"], plan.facts()["view"]
    (['net'], 'hflip')
    """

    section = "tta"

    def __init__(self, name: str, inputs: Inputs, view: SingleView) -> None:
        super().__init__(name, inputs)
        self.view, self.epochs = view, 0
        self.folds = inputs.dealt_folds() if inputs.have_folds() else 0

    @property
    def member(self) -> str:
        """Name of the member that is put under the view."""
        return self.members[0]

    def settings(self) -> Mapping[str, Any]:
        """Return the member and the view."""
        return {"plan": "view", "sources": dict(self.inputs.sources), **self.view.to_json()}

    def facts(self) -> Mapping[str, Any]:
        """Return the member and the view, and the settings of the member."""
        known = self.inputs.facts[self.member]
        shown = {key: known[key] for key in ("backbone", "img_size") if key in known}
        return {
            "plan": "view",
            **shown,
            "seed": known.get("seed", self.seed),
            "pretrained": known.get("pretrained", False),
            "inference": self.inference,
            "of": self.members,
            "view": self.view.name,
            "shares": self.member,
        }

    def check(self) -> None:
        """Do nothing: the member was checked when it was trained."""

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Return the network of the fold under the view; see the base class."""
        part = load_network(self.store.checkpoint(self.member, fold), self.inputs.trusted)
        viewed = Viewed([part], part.class_names, self.name, self.view)
        viewed.provenance = {"epochs": 0, "summary": f"{self.member} under the view {self.view.name}"}
        return {self.name: viewed.eval()}
