"""Settings of test-time augmentation: the section `tta`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from committee.recipe.section import Section
from committee.recipe.views import AnyViewSet, ViewSet


class Tta(Section):
    """Test-time augmentation: each network predicts several views of an image."""

    enable: bool = Field(True, description="Build these ensembles.")
    views: list[AnyViewSet] = Field(
        default_factory=lambda: [ViewSet(name="hflip")],
        min_length=1,
        description="Sets of views; the image itself is always one. Names, or {name: shift, fraction: 0.1}.",
    )
    of: Literal["best"] | Annotated[list[str], Field(min_length=1)] = Field(
        "best",
        description="Members and ensembles that get an ensemble tta_<name>. best is the ensemble with "
        "the best cross-fitted log-loss, or the best member if there is no ensemble.",
    )
    weights: Literal["mean", "learned"] = Field(
        "mean",
        description="Weights of the views of a network: equal, or learned on out-of-fold rows by log-loss.",
    )
