"""The base class of combiners that apply another combiner to some of the members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from committee.combiners.base import Combiner, Query
from committee.solvers.columns import pick, prepare

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Selection(Combiner):
    """A combiner that applies `inner` to the members at the positions in the buffer `position`.

    A subclass chooses the members and sets the buffer.
    """

    serves: ClassVar[tuple[str, ...]] = ("classes", "numbers")
    inner: Combiner

    def fit_inner(self, predictions: Predictions, members: Sequence[str]) -> None:
        """Fit `inner` on some of the members; their logits are copied only if it reads them."""
        needed = self.inner.learns and self.inner.needs_logits
        if self.inner.learns and not needed:
            prepare(predictions)
        self.inner.fit(pick(predictions, members, logits=needed))

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return self.inner(logits.index_select(0, self.learned("position")))

    def forward_lazy(self, query: Query) -> Tensor:
        """Return the same as `forward`, requesting the logits that `inner` requests."""
        places = self.numbers("position")
        return self.inner.forward_lazy(lambda member, rows: query(places[member], rows))

    def restrict_to_used(self) -> Combiner:
        """Return the restricted `inner`, which is bound to the selected members."""
        return self.inner.restrict_to_used()

    def member_weights(self) -> dict[str, float] | None:
        """Return the weights of `inner`, and zero for the members that are not selected."""
        inner = self.inner.member_weights()
        return inner and {name: inner.get(name, 0.0) for name in self.member_names}
