"""Compose: a combiner of combiners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from committee.combiners._crossfit import cross_fit
from committee.combiners.base import Combiner, Query, build
from committee.errors import UsageError

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Compose(Combiner):
    """Combine the outputs of several combiners with a final one (stacked generalization, Wolpert 1992).

    `fit` cross-fits the inputs inside the rows it was given, on folds drawn there (groups respected), fits
    `final` on those outputs, and then the inputs on all rows.

    Parameters
    ----------
    inputs : mapping of str to Combiner, str or mapping
        Name of each input, and the rule behind it.
    final : Combiner, str or mapping
        The rule that combines the inputs; their names are its members.
    seed : int
        Draws the inner folds.
    """

    def __init__(
        self,
        inputs: Mapping[str, Combiner | str | Mapping[str, Any]],
        final: Combiner | str | Mapping[str, Any] = "soft_voting",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not inputs:
            raise UsageError("compose", expected="at least one input", got="none")
        self.inputs = {name: build(spec) for name, spec in inputs.items()}
        # A list and not a ModuleDict: an input may have any name, also one that a module cannot.
        self.parts = nn.ModuleList(self.inputs.values())
        self.final = build(final)
        self.seed = seed
        parts = [self.final, *self.inputs.values()]
        self.learns = any(part.learns for part in parts)
        self.calibrates = any(part.calibrates for part in parts)

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members in all inputs, and the inputs in `final`."""
        for part in self.inputs.values():
            part.bind(members)
        self.final.bind(list(self.inputs))
        return super().bind(members)

    def _fit(self, predictions: Predictions) -> None:
        """Fit `final` on cross-fitted inputs, then the inputs on all rows."""
        if self.final.learns:
            self.final.fit(self._outputs(predictions))
        for part in self.inputs.values():
            part.fit(predictions)

    def _outputs(self, predictions: Predictions) -> Predictions:
        pooled = [cross_fit(part, predictions, seed=self.seed) for part in self.inputs.values()]
        return type(predictions).from_logits(
            np.stack(pooled),
            members=tuple(self.inputs),
            class_names=predictions.class_names,
            sample_ids=predictions.sample_ids,
            labels=predictions.labels,
            groups=predictions.groups,
        )

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return self.final(torch.stack([part(logits) for part in self.parts]))

    def forward_lazy(self, query: Query) -> Tensor:
        """Return what `forward` returns, asking for what the inputs ask for."""
        answers = list[Tensor | None]([None] * len(self.parts))

        def answer(place: int, rows: Tensor | None) -> Tensor:
            known = answers[place]
            if known is None:
                known = answers[place] = self.parts[place].forward_lazy(query)  # type: ignore[operator]
            return known if rows is None else known[rows]

        return self.final.forward_lazy(answer)

    def restrict_to_used(self) -> Combiner:
        """Return the inputs for the members that one of them hears, under the same `final`."""
        parts = {name: part.restrict_to_used() for name, part in self.inputs.items()}
        used = {name for part in parts.values() for name in part.member_names}
        members = [name for name in self.member_names if name in used]
        if len(members) == len(self.member_names):
            return self
        inputs = {name: _for(members, part) for name, part in parts.items()}
        return self.rebind(members, Compose(inputs, self.final, self.seed))

    def affordable(self, members: int, rows: int, classes: int) -> bool:
        """Return whether nothing is learned: else fits of the inputs stand inside fits of the whole."""
        return not self.learns

    def member_weights(self) -> dict[str, float] | None:
        """Return each member's weight in the inputs, times those inputs' weights in `final`."""
        outer = self.final.member_weights()
        inner = {name: part.member_weights() for name, part in self.inputs.items()}
        if outer is None:
            return None
        total = dict.fromkeys(self.member_names, 0.0)
        for name, weights in inner.items():
            if weights is None:
                return None
            for member, weight in weights.items():
                total[member] += outer[name] * weight
        return total

    def notes(self) -> dict[str, Any]:
        """Return what `final` and each input note."""
        return {**self.final.notes(), "inputs": {name: part.notes() for name, part in self.inputs.items()}}


def _for(members: Sequence[str], rule: Combiner) -> Combiner:
    """Return a rule that picks its own members out of `members`."""
    if rule.member_names == tuple(members):
        return rule
    return build({"combiner": "subset", "members": list(rule.member_names), "inner": rule}).bind(members)
