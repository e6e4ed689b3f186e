"""Subset: a combiner of some of the members."""

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
    """Apply a combiner to some of the members.

    Parameters
    ----------
    members : sequence of str
        Names of the members, in the order in which `inner` receives them.
    inner : Combiner, str or mapping
        The combiner of these members, its key, or `{"combiner": key, **options}`.

    Raises
    ------
    UnknownNameError
        In `bind` and `fit`: there is no member with one of the names.

    See Also
    --------
    Pruned : Choose the members by a pruning method.
    Compose : Combine the outputs of several combiners.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.combiners import Subset
    >>> from committee.predictions import Predictions
    >>> rows = Predictions.from_probabilities(
    ...     [[[0.9, 0.1]], [[0.5, 0.5]], [[0.0, 1.0]]],
    ...     members=["a", "b", "c"],
    ...     class_names=["cat", "dog"],
    ... )
    >>> rule = Subset(["a", "b"], "soft_voting").fit(rows)
    >>> np.exp(rule.combine(rows.logits)).astype(float).round(4).tolist()
    [[0.7, 0.3]]
    """

    def __init__(
        self, members: Sequence[str], inner: Combiner | str | Mapping[str, Any] = "soft_voting"
    ) -> None:
        super().__init__()
        self.members = members
        self.inner = build(inner)
        self.learns, self.calibrates = self.inner.learns, self.inner.calibrates
        self.needs_logits = self.inner.learns and self.inner.needs_logits

    @classmethod
    def examples(cls, members: Sequence[str]) -> list[dict[str, Any]]:
        """Return options for the contract tests; see the base class."""
        return [{"members": list(members)}, {"members": [members[0]], "inner": "weighted"}]

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members, and the selected ones in `inner`."""
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
        self.fit_inner(predictions, self.members)

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit of `inner` takes."""
        return self.inner.seconds(len(self.members), rows, classes)

    def notes(self) -> dict[str, Any]:
        """Return the notes of `inner`."""
        return self.inner.notes()
