"""Settings of structured pruning: the section `channel_pruning`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from committee.recipe.section import Section


class ChannelPruning(Section):
    """Structured pruning: members with fewer channels, fine-tuned (Li et al. 2017)."""

    enable: bool = Field(True, description="Prune the channels of these members.")
    of: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="Members to prune, each a single network; null prunes all that the recipe names."
    )
    amount: float = Field(0.5, gt=0, lt=1, description="Share of the channels of each group that is removed.")
    streams: bool = Field(
        False,
        description="Also remove channels that several layers compute, as in the sums of a residual network.",
    )
    epochs: int = Field(3, ge=1, description="Number of epochs of the fine-tuning.")
    lr: float = Field(3e-4, gt=0, description="Learning rate of the fine-tuning.")
