"""Subset: a rule that hears some of the members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from committee.combiners._base import Ask, Combiner, build
from committee.errors import UnknownNameError, nearest

if TYPE_CHECKING:
    from committee.predictions import Predictions


class Subset(Combiner):
    """Apply `inner` to the named members alone.

    Parameters
    ----------
    members : sequence of str
        Which members, in the order in which `inner` gets them.
    inner : Combiner, str or mapping
        The rule that combines them.

    Raises
    ------
    UnknownNameError
        In `bind` and `fit`: a member that is not there.
    """

    def __init__(
        self, members: Sequence[str], inner: Combiner | str | Mapping[str, Any] = "soft_voting"
    ) -> None:
        super().__init__()
        self.members = members
        self.inner = build(inner)
        self.learns, self.calibrates = self.inner.learns, self.inner.calibrates

    def bind(self, members: Sequence[str]) -> Self:
        """Find the members' positions, and bind them in `inner`."""
        for name in self.members:
            if name not in members:
                raise UnknownNameError("subset", expected=f"members among {', '.join(members)}",
                                       got=f"'{name}'", todo=nearest(name, members))  # fmt: skip
        self.keep(position=torch.tensor([list(members).index(name) for name in self.members]))
        self.inner.bind(self.members)
        return super().bind(members)

    def learn(self, predictions: Predictions) -> None:
        """Fit `inner` on the selected members."""
        self.inner.fit(predictions.select(list(self.members)))

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return self.inner(logits.index_select(0, self.learned("position")))

    def consult(self, ask: Ask) -> Tensor:
        """Return what `forward` returns, asking for what `inner` asks for."""
        places = self.learned("position").tolist()
        return self.inner.consult(lambda member, rows: ask(places[member], rows))

    def narrowed(self) -> Combiner:
        """Return `inner`, which knows of the selected members alone, or what it narrows to."""
        return self.inner.narrowed()

    def affordable(self, members: int, rows: int, classes: int) -> bool:
        """Return whether a fit of `inner` takes seconds."""
        return self.inner.affordable(len(self.members), rows, classes)

    def member_weights(self) -> dict[str, float] | None:
        """Return the weights of `inner`, and zero for the members left out."""
        inner = self.inner.member_weights()
        return inner and {name: inner.get(name, 0.0) for name in self.member_names}

    def notes(self) -> dict[str, Any]:
        """Return what `inner` notes."""
        return self.inner.notes()
