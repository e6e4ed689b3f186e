"""Predictions: outputs of members on samples, with the names and labels of the samples.

This module fixes the order of axes: members, samples, outputs (one for each class, or for each target).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.arguments import all_of
from committee.base.limits import require_some
from committee.errors import DataError, first_five, nearest
from committee.predictions import store_format
from committee.predictions.blocks import joined, outputs_of
from committee.predictions.checks import (
    as_float32,
    check_finite,
    check_seen,
    check_shape,
    check_unique,
    check_variances,
    default_names,
    find,
    whole_numbers,
)
from committee.predictions.fields import Fields
from committee.predictions.join import common_column
from committee.predictions.names import group_numbers, unique_ids
from committee.predictions.probabilities import log_probabilities
from committee.predictions.target_types import CLASSES, NUMBERS, TargetType
from committee.store.disk import folder_of, writes_folder


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Fields):
    """Outputs of members on samples, with the names, labels, folds and groups of the samples.

    Use `from_logits` or `from_probabilities` for classes, and `from_values` for numbers: they check all
    arguments; the constructor checks nothing.

    Attributes
    ----------
    logits : float32 array [M, N, C, ...]
        Logits by member, sample and class, or values by member, sample and target, with trailing axes for
        dense outputs. Many values in float16 or in a memory-mapped file stay there: see `Blocks`.
    members, class_names : tuple of str
        Unique names along the first and the third axis, of lengths M and C. If labels are numbers, the third
        axis has the targets; `target_names` is another name of `class_names`.
    sample_ids : str array [N]
        Unique names of the samples.
    labels : int64 array [N], float64 array [N, C] or None
        Indices into `class_names`, or the number of each target.
    folds : int64 array [N] or None
        The fold in which each row was held out.
    groups : int64 array [N] or None
        Group of each row. Rows of one group are not independent: they share a fold, and are resampled
        together.
    seen : bool array [M, N]
        Whether each member was trained on each row.
    target_type : TargetType
        What labels are: `CLASSES` or `NUMBERS` of `committee.predictions.target_types`.
    variances : float32 array [M, N, T] or None
        Predicted variance of each number, if all members predict one (see `GaussianNll`).

    See Also
    --------
    committee.load_predictions : Read the predictions of a store.
    committee.predictions.files.read : Read the predictions of a model from a file.

    Examples
    --------
    >>> from committee.predictions import Predictions
    >>> first = Predictions.from_probabilities(
    ...     [[0.9, 0.1], [0.2, 0.8]], members=["resnet"], class_names=["cat", "dog"], sample_ids=["x", "y"]
    ... )
    >>> second = Predictions.from_probabilities(
    ...     [[0.7, 0.3], [0.6, 0.4]], members=["vit"], class_names=["dog", "cat"], sample_ids=["y", "x"]
    ... )
    >>> both = Predictions.join([first, second]).with_labels(["x", "y"], ["cat", "dog"])
    >>> both
    Predictions(2 x 2 x 2, members=('resnet', 'vit'), labeled=True)
    >>> both.logits.argmax(axis=2).tolist()
    [[0, 1], [1, 1]]
    """

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names along the third axis, if these are targets."""
        return self.class_names

    @classmethod
    def from_logits(
        cls,
        logits: ArrayLike,
        *,
        members: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        sample_ids: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        folds: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        seen: ArrayLike | None = None,
        labels_are: str | None = None,
        are_logits: bool = False,
        who: str = "predictions",
    ) -> Predictions:
        """Create predictions from logits or log-probabilities of any floating type.

        Parameters
        ----------
        logits : float array [N, C] of one member, or [M, N, C, ...]
            Finite numbers, which are not probabilities. A constant added to a row changes nothing.
        members, class_names : sequence of str, optional
            Names along the first and the third axis; by default `member_1`, `member_2`, ... and `0`, `1`, ...
        sample_ids : array [N], optional
            Names of the samples; row numbers by default. 7, 7.0 and "7" are the same name.
        labels : array [N], optional
            Class name or class index of each sample.
        folds : int array [N], optional
            Fold of each sample.
        groups : array [N], optional
            Group of each sample, as numbers or names; a missing one (blank, NaN) is a group of its own.
        seen : bool array [M, N], optional
            Whether each member was trained on each row; false everywhere by default.
        labels_are : {"names", "positions"}, optional
            What labels are. By default, text is a name, and a whole number is an index; if the names of the
            classes are numbers in another order than 0, 1, ..., whole numbers are refused.
        are_logits : bool
            Whether to accept logits that look like probabilities, since all rows sum to 1.
        who : str
            Name for error messages, such as a file.

        Raises
        ------
        DataError
            Shapes do not match, numbers are not finite, names are not unique, or labels have two readings.

        Examples
        --------
        >>> Predictions.from_logits([[[2.0, 1.0, 0.0]], [[0.0, 3.0, 1.0]]], labels=[1])
        Predictions(2 x 1 x 3, members=('member_1', 'member_2'), labeled=True)
        """
        numbered = default_names(array := outputs_of(logits, who))
        return cls._checked(
            array,
            CLASSES,
            numbered[0] if members is None else members,
            numbered[1] if class_names is None else class_names,
            sample_ids=sample_ids,
            labels=labels,
            folds=folds,
            groups=groups,
            seen=seen,
            labels_are=labels_are,
            are_checked=are_logits,
            who=who,
        )

    @classmethod
    def from_values(
        cls,
        values: ArrayLike,
        *,
        members: Sequence[str],
        target_names: Sequence[str] = ("target",),
        sample_ids: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        folds: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        seen: ArrayLike | None = None,
        variances: ArrayLike | None = None,
        who: str = "predictions",
    ) -> Predictions:
        """Create predictions of numbers, as those of regression.

        Parameters
        ----------
        values : float array [N] or [N, T] of one member, or [M, N], [M, N, T, ...]
            Finite numbers, each in the unit of its target. Without an axis of targets, there is one target;
            the number of `members` says whether the first axis is that of members.
        members, target_names : sequence of str
            Names along the first and the third axis.
        labels : float array [N] or [N, T], optional
            The true numbers.
        sample_ids, folds, groups, seen, who
            As for `from_logits`.
        variances : float array of the shape of `values`, optional
            Predicted variance of each number, above zero.

        Raises
        ------
        DataError
            Shapes do not match, numbers are not finite, names are not unique, or a variance is not above 0.

        Examples
        --------
        >>> from committee.predictions import Predictions
        >>> Predictions.from_values([[11, 7], [11, 8], [10, 9]], members=["a", "b", "c"], labels=[10.5, 8])
        Predictions(3 x 2 x 1, members=('a', 'b', 'c'), labeled=True)
        """
        array = as_float32(values, who)
        has_targets = len(target_names) > 1 or (len(members) == 1 and array.shape[1:] == (1,))
        if array.ndim == 1 or (array.ndim == 2 and not has_targets):
            array = array[..., None]
        found = cls._checked(
            array,
            NUMBERS,
            members,
            target_names,
            sample_ids=sample_ids,
            labels=labels,
            folds=folds,
            groups=groups,
            seen=seen,
            who=who,
        )
        if variances is None:
            return found
        return replace(found, variances=check_variances(variances, found.logits.shape, who))

    @classmethod
    def _checked(
        cls,
        array: NDArray[np.float32],
        target_type: TargetType,
        members: Sequence[str],
        names: Sequence[str],
        *,
        sample_ids: ArrayLike | None,
        labels: ArrayLike | None,
        folds: ArrayLike | None,
        groups: ArrayLike | None,
        seen: ArrayLike | None,
        who: str,
        labels_are: str | None = None,
        are_checked: bool = False,
    ) -> Predictions:
        array = array[None] if array.ndim == 2 else array
        check_shape(array, members, names, who, target_type)
        rows = array.shape[1]
        ids = unique_ids(np.arange(rows) if sample_ids is None else sample_ids, f"{who}: sample ids", rows)
        check_finite(array, ids, who)
        if not are_checked:
            target_type.check_outputs(array, who)
        return cls(
            array,
            tuple(map(str, members)),
            tuple(map(str, names)),
            ids,
            target_type.column(labels, rows, names, f"{who}: labels", labels_are),
            whole_numbers(folds, rows, f"{who}: folds"),
            group_numbers(groups, rows, f"{who}: groups"),
            check_seen(seen, array.shape[:2], who),
            target_type,
        )

    @classmethod
    def from_probabilities(
        cls,
        probabilities: ArrayLike,
        *,
        sample_ids: ArrayLike | None = None,
        who: str = "predictions",
        **rest: Any,
    ) -> Predictions:
        """Create predictions from probabilities; their logarithms are stored.

        Parameters
        ----------
        probabilities : float array [N, C] of one member, or [M, N, C, ...]
            Rows sum to 1, to 100 (percentages), or to 1 within what rounding to a few digits explains. If a
            member has exact zeros, its probabilities below 1e-6 are read as 1e-6, and the log names it.
        sample_ids, who, **rest
            As for `from_logits`.

        Raises
        ------
        DataError
            A number is negative or NaN, a row does not sum to 1, or `from_logits` rejects the arguments.
        """
        array = outputs_of(probabilities, who)
        array = array[None] if array.ndim == 2 else array
        if array.ndim > 2 and array.size:
            members = [str(name) for name in rest.get("members", ())]
            named = members if len(members) == len(array) else [who] * len(array)
            array = log_probabilities(array, named, sample_ids, who)
        return cls.from_logits(array, sample_ids=sample_ids, who=who, **rest)

    def with_classes(self, class_names: Sequence[str], *, of: str = "") -> Predictions:
        """Return the same predictions with the classes in another order.

        Parameters
        ----------
        class_names : sequence of str
            The class names of these predictions in the new order.
        of : str
            Description of the new order for error messages.

        Raises
        ------
        DataError
            A class is missing or unknown.
        """
        if tuple(class_names) == self.class_names:
            return self
        unknown = [name for name in self.class_names if name not in class_names]
        lacking = [name for name in class_names if name not in self.class_names]
        if unknown or lacking:
            raise DataError(
                f"predictions of {first_five(self.members)}",
                expected=f"the {self.target_type.outputs} {of or first_five(class_names)}",
                got=first_five(unknown) if unknown else f"no {self.target_type.output} {first_five(lacking)}",
                todo=nearest(unknown[0], class_names) if unknown else "",
            )
        picked = np.array([self.class_names.index(name) for name in class_names])
        return replace(
            self,
            class_names=tuple(class_names),
            logits=np.take(self.logits, picked, axis=2),
            variances=None if self.variances is None else np.take(self.variances, picked, axis=2),
            labels=None if self.labels is None else self.target_type.reorder(self.labels, picked),
        )

    @staticmethod
    def join(parts: Sequence[Predictions]) -> Predictions:
        """Concatenate the members of several predictions of the same samples.

        Samples are matched by id and classes by name; both have the order of the first part.

        Raises
        ------
        DataError
            The parts do not have the same samples, classes, labels, folds and groups, or two members have the
            same name.
        """
        parts = all_of("predictions", parts, Predictions, "Predictions")
        require_some("predictions", len(parts), "member")
        first = parts[0]
        check_unique(np.array([name for part in parts for name in part.members]), "members")
        aligned = [first, *(part.aligned(first) for part in parts[1:])]
        if len(aligned) == 1:
            return first
        variances = [part.variances for part in aligned if part.variances is not None]
        return Predictions(
            joined([part.logits for part in aligned]),
            tuple(name for part in aligned for name in part.members),
            first.class_names,
            first.sample_ids,
            common_column(aligned, "labels"),
            common_column(aligned, "folds"),
            common_column(aligned, "groups"),
            np.concatenate([part.seen for part in aligned]),
            first.target_type,
            np.concatenate(variances) if len(variances) == len(aligned) else None,
        )

    def aligned(self, first: Predictions) -> Predictions:
        """Return these predictions with the samples and the classes in the order of `first`.

        Raises
        ------
        DataError
            The two do not have the same samples and classes.
        """
        who, of = f"predictions of {first_five(self.members)}", f"of {first_five(first.members)}"
        places, missing = find(self.sample_ids, first.sample_ids)
        if missing.any() or len(self) != len(first):
            extra = self.sample_ids[find(first.sample_ids, self.sample_ids)[1]]
            lacks = f"none for {first_five(first.sample_ids[missing])}" if missing.any() else ""
            raise DataError(
                who,
                expected=f"the samples {of}",
                got=" and ".join(filter(None, (lacks, f"also {first_five(extra)}" if len(extra) else ""))),
            )
        if self.target_type is not first.target_type:
            raise DataError(who, expected=f"{first.target_type.name} {of}", got=self.target_type.name)
        part = self.with_classes(first.class_names, of=of)
        return part if np.array_equal(part.sample_ids, first.sample_ids) else part.rows(places)

    @writes_folder
    def save(self, folder: Path) -> None:
        """Write `predictions.json` and an NPY file of each column: `logits.npy`, `labels.npy`, ..."""
        store_format.write(self, folder)

    @classmethod
    def load(cls, folder: str | Path, mmap: bool = True) -> Predictions:
        """Read the files that `save` wrote; with `mmap`, logits stay on disk until they are used.

        Raises
        ------
        StoreError
            A file is missing or damaged, has another shape, or was written with another protocol.
        """
        return cls(**store_format.read(folder_of(folder), mmap))
