"""Composition: a combiner of the outputs of combiners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from committee.combiners.base import Combiner, Query, build
from committee.errors import UsageError
from committee.solvers.cross_fit import cross_fit

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Compose(Combiner):
    """Combine the outputs of several combiners with a final one (stacked generalization, Wolpert 1992).

    `fit` cross-fits the inputs inside the given rows, on folds that keep groups together. It fits `final` on
    the cross-fitted outputs, and then the inputs on all rows.

    Parameters
    ----------
    inputs : mapping of str to Combiner, str or mapping
        The inputs by name: combiners, keys, or `{"combiner": key, **options}`.
    final : Combiner, str or mapping
        The combiner of the inputs, whose names are its members.
    seed : int
        Seed of the inner folds.

    Raises
    ------
    UsageError
        There is no input.

    See Also
    --------
    Subset : Apply a combiner to some of the members.
    StackingLr : A learned combination of the members themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.combiners import Compose
    >>> from committee.predictions import Predictions
    >>> rows = Predictions.from_probabilities(
    ...     [[[0.9, 0.1]], [[0.5, 0.5]]], members=["a", "b"], class_names=["cat", "dog"]
    ... )
    >>> rule = Compose({"soft": "soft_voting", "logit": "logit_averaging"}).fit(rows)
    >>> np.exp(rule.combine(rows.logits)).astype(float).round(4).tolist()
    [[0.725, 0.275]]
    """

    serves: ClassVar[tuple[str, ...]] = ("classes", "numbers")

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
        # A ModuleList, because a ModuleDict does not accept every name.
        self.parts = nn.ModuleList(self.inputs.values())
        self.final = build(final)
        self.seed = seed
        parts = [self.final, *self.inputs.values()]
        self.learns = any(part.learns for part in parts)
        self.calibrates = any(part.calibrates for part in parts)

    @classmethod
    def examples(cls, members: Sequence[str]) -> list[dict[str, Any]]:
        """Return options for the contract tests; see the base class."""
        return [{"inputs": {"soft": "soft_voting", "hard": "hard_voting"}}]

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members to all inputs, and the inputs to `final`."""
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
        return replace(predictions.with_outputs(np.stack(pooled), tuple(self.inputs)), folds=None)

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return self.final(torch.stack([part(logits) for part in self.parts]))

    def forward_lazy(self, query: Query) -> Tensor:
        """Return the same as `forward`, requesting the logits that the inputs request."""
        outputs = list[Tensor | None]([None] * len(self.parts))

        def query_input(place: int, rows: Tensor | None) -> Tensor:
            known = outputs[place]
            if known is None:
                known = outputs[place] = self.parts[place].forward_lazy(query)  # type: ignore[operator]
            return known if rows is None else known[rows]

        return self.final.forward_lazy(query_input)

    def restrict_to_used(self) -> Combiner:
        """Return the same composition for the inputs that `final` uses, and the members that these use."""
        final = self.final.restrict_to_used()
        parts = {name: self.inputs[name].restrict_to_used() for name in final.member_names}
        used = {name for part in parts.values() for name in part.member_names}
        members = [name for name in self.member_names if name in used]
        if len(members) == len(self.member_names) and len(parts) == len(self.inputs):
            return self
        inputs = {name: _bound_to(members, part) for name, part in parts.items()}
        return self.rebind(members, Compose(inputs, final, self.seed))

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes; inputs are fitted without each of 5 folds and on all rows."""
        inputs = sum(part.seconds(members, rows, classes) for part in self.inputs.values())
        return (6 if self.final.learns else 1) * inputs + self.final.seconds(len(self.inputs), rows, classes)

    def member_weights(self) -> dict[str, float] | None:
        """Return the weights of the members in the inputs, times the weights of the inputs in `final`."""
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
        """Return the notes of `final` and of each input."""
        return {**self.final.notes(), "inputs": {name: part.notes() for name, part in self.inputs.items()}}


def _bound_to(members: Sequence[str], rule: Combiner) -> Combiner:
    """Return a combiner of `members` that applies `rule` to those that it is bound to."""
    if rule.member_names == tuple(members):
        return rule
    return build({"combiner": "subset", "members": list(rule.member_names), "inner": rule}).bind(members)
