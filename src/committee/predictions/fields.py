"""The fields of predictions, and the selection of rows and members among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.tables import for_notebook
from committee.base.text import count
from committee.errors import DataError, LeakError, UnknownNameError, first_five, nearest
from committee.predictions.checks import find, whole_numbers
from committee.predictions.names import group_numbers, unique_ids
from committee.predictions.target_types import CLASSES, TargetType

NAMED = 8
"""Members that the text of predictions names."""


@dataclass(frozen=True, eq=False)
class Fields:
    """The fields of `committee.predictions.Predictions`, which describes them."""

    logits: NDArray[np.float32]
    members: tuple[str, ...]
    class_names: tuple[str, ...]
    sample_ids: NDArray[np.str_]
    labels: NDArray[Any] | None
    folds: NDArray[np.int64] | None
    groups: NDArray[np.int64] | None
    seen: NDArray[np.bool_]
    target_type: TargetType = CLASSES
    variances: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.logits.shape[1]

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.logits.shape))
        return f"Predictions({shape}, members={_short(self.members)}, labeled={self.labels is not None})"

    def _repr_html_(self) -> str:
        """Return the facts that a notebook shows: members, rows, labels and folds."""
        known = [
            name for name in ("labels", "folds", "groups", "variances") if getattr(self, name) is not None
        ]
        trained = self.seen.sum(axis=1)
        title = (
            f"Predictions of {self.target_type.name}: {count(len(self.members), 'member')}, "
            f"{count(len(self), 'row')}, {len(self.class_names)} {self.target_type.outputs} "
            f"({first_five(self.class_names)}); with {', '.join(known) or 'no labels'}"
        )
        rows = [[name, int(number)] for name, number in zip(self.members, trained, strict=True)]
        return for_notebook(["member", "rows that it was trained on"], rows, title)

    def rows(self, index: ArrayLike) -> Self:
        """Return some rows: in the order of an index array, or those where a mask is true."""
        picked = np.asarray(index)
        picked = np.flatnonzero(picked) if picked.dtype == np.bool_ else picked.astype(np.int64)
        return replace(
            self,
            logits=np.take(self.logits, picked, axis=1),
            variances=None if self.variances is None else np.take(self.variances, picked, axis=1),
            sample_ids=self.sample_ids[picked],
            labels=None if self.labels is None else self.labels[picked],
            folds=None if self.folds is None else self.folds[picked],
            groups=None if self.groups is None else self.groups[picked],
            seen=self.seen[:, picked],
        )

    def select(self, members: Sequence[str]) -> Self:
        """Return some members, in the order of `members`.

        Raises
        ------
        UnknownNameError
            There is no member of this name.
        """
        for name in members:
            if name not in self.members:
                raise UnknownNameError(
                    "members",
                    expected=f"names among {first_five(self.members)}",
                    got=f"'{name}'",
                    todo=nearest(name, self.members),
                )
        if tuple(members) == self.members:
            return self
        picked = [self.members.index(name) for name in members]
        return replace(
            self,
            members=tuple(members),
            logits=self.logits[picked],
            variances=None if self.variances is None else self.variances[picked],
            seen=self.seen[picked],
        )

    def with_outputs(self, outputs: NDArray[np.float32], members: Sequence[str]) -> Self:
        """Return other outputs `[M, N, C, ...]` of the same rows, on which their members were not trained."""
        seen = np.zeros(outputs.shape[:2], np.bool_)
        return replace(self, logits=outputs, members=tuple(members), seen=seen, variances=None)

    def strata(self, who: str) -> NDArray[np.int64]:
        """Return the stratum of each row, int64 `[N]`, for drawing folds; it requires labels."""
        return self.target_type.strata(self.require_labels(who))

    def units(self, where: NDArray[np.bool_] | None = None) -> int:
        """Return the number of rows, all or those of a mask; of maps, that of their images or groups."""
        if not self.target_type.dense or self.groups is None:
            return len(self) if where is None else int(where.sum())
        return len(np.unique(self.groups if where is None else self.groups[where]))

    def require_labels(self, who: str) -> NDArray[Any]:
        """Return the labels, or raise a DataError if there are none."""
        if self.labels is None:
            raise DataError(
                who,
                expected="labeled predictions",
                got="none",
                todo="Attach labels: predictions.with_labels(ids, labels).",
            )
        return self.labels

    def require_unseen(self, who: str) -> None:
        """Raise a LeakError if a member was trained on one of the rows."""
        if not self.seen.any():
            return
        counts = self.seen.sum(axis=1)
        worst = int(counts.argmax())
        raise LeakError(
            who,
            expected="rows that no member was trained on",
            got=f"{counts[worst]} of {len(self)} rows that '{self.members[worst]}' was trained on",
            todo="Use out-of-fold predictions or held-out rows.",
        )

    def with_labels(
        self,
        sample_ids: ArrayLike,
        labels: ArrayLike,
        *,
        folds: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        labels_are: str = "names",
        who: str = "labels",
    ) -> Self:
        """Return predictions with labels, and optionally folds and groups, matched by sample id.

        Ids that these predictions do not have are ignored.

        Parameters
        ----------
        sample_ids : array [L]
            Unique names, which must include all ids of these predictions.
        labels : array [L] or [L, T]
            Class names, as text or numbers; the number of a class such as `prob_10` is a name too. Or the
            true numbers of the targets.
        folds, groups : array [L], optional
            As for `from_logits`; they replace existing ones.
        labels_are : {"names", "positions"}
            Whether labels are class names, or indices into `class_names`.
        who : str
            Name for error messages, such as a file.

        Raises
        ------
        DataError
            A sample has no label or two, or a label is not a class.
        """
        ids, given = unique_ids(sample_ids, f"{who}: sample ids"), np.asarray(labels)
        if ids.shape != given.shape[:1] or ids.ndim != 1:
            raise DataError(
                who, expected="one label for each id", got=f"{ids.size} ids and {given.size} labels"
            )
        places, missing = find(ids, self.sample_ids)
        if missing.any():
            lacking = first_five(self.sample_ids[missing])
            raise DataError(who, expected="a label for each sample", got=f"none for {lacking}")
        fold = whole_numbers(folds, len(ids), f"{who}: folds")
        group = group_numbers(groups, len(ids), f"{who}: groups")
        return replace(
            self,
            labels=self.target_type.match(given[places], self.class_names, who, labels_are),
            folds=self.folds if fold is None else fold[places],
            groups=self.groups if group is None else group[places],
        )


def _short(names: tuple[str, ...]) -> str:
    """Return the text of a tuple; of many names, the first ones and the number of the others."""
    more = len(names) - NAMED
    return repr(names) if more <= 0 else f"({', '.join(map(repr, names[:NAMED]))}, ... {more} more)"
