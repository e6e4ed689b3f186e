"""Subset: a rule that hears some of the members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch

from committee.combiners._selection import Selection
from committee.combiners.base import Combiner, build
from committee.errors import UnknownNameError, nearest

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Subset(Selection):
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
                raise UnknownNameError(
                    "subset",
                    expected=f"members among {', '.join(members)}",
                    got=f"'{name}'",
                    todo=nearest(name, members),
                )
        self.set_buffers(position=torch.tensor([list(members).index(name) for name in self.members]))
        self.inner.bind(self.members)
        return super().bind(members)

    def _fit(self, predictions: Predictions) -> None:
        """Fit `inner` on the selected members."""
        self.inner.fit(predictions.select(list(self.members)))

    def affordable(self, members: int, rows: int, classes: int) -> bool:
        """Return whether a fit of `inner` takes seconds."""
        return self.inner.affordable(len(self.members), rows, classes)

    def notes(self) -> dict[str, Any]:
        """Return what `inner` notes."""
        return self.inner.notes()
