"""What rules share that hear some of the members through another rule: the buffer `position`, and `inner`."""

from __future__ import annotations

from torch import Tensor

from committee.combiners.base import Combiner, Query


class Selection(Combiner):
    """A rule that gives `inner` the members at `position`, in that order; a subclass says which they are."""

    inner: Combiner

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return self.inner(logits.index_select(0, self.learned("position")))

    def forward_lazy(self, query: Query) -> Tensor:
        """Return what `forward` returns, asking for what `inner` asks for."""
        places = self.learned("position").tolist()
        return self.inner.forward_lazy(lambda member, rows: query(places[member], rows))

    def restrict_to_used(self) -> Combiner:
        """Return `inner`, which knows of the selected members alone, or what it narrows to."""
        return self.inner.restrict_to_used()

    def member_weights(self) -> dict[str, float] | None:
        """Return the weights of `inner`, and zero for the members left out."""
        inner = self.inner.member_weights()
        return inner and {name: inner.get(name, 0.0) for name in self.member_names}
