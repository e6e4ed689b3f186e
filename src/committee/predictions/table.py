"""Predictions: what members say about samples. The only file that fixes the order of axes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import DataError, LeakError, StoreError, UnknownNameError, first_five, nearest
from committee.predictions.checks import (
    as_float32,
    check_finite,
    check_labels,
    check_shape,
    check_sums,
    check_unique,
    class_indices,
    find,
    group_numbers,
    whole_numbers,
)
from committee.untrusted.documents import build, read_json
from committee.untrusted.growth import text_array
from committee.untrusted.npy import load_npy

PROTOCOL = 1
_COLUMNS = ("labels", "folds", "groups", "seen")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Logits of members on samples, and what is known about the samples.

    Build one with `from_logits` or `from_probabilities`, which check everything; the constructor trusts.

    Attributes
    ----------
    logits : float32 array [M, N, C, ...]
        Members, samples, classes; trailing axes for dense outputs. May be memory-mapped.
    members, class_names : tuple of str, M and C
        Names, each unique.
    sample_ids : str array [N]
        Names of the samples, unique.
    labels : int64 array [N] or None
        Index into `class_names`.
    folds : int64 array [N] or None
        Fold that each row was held out in.
    groups : int64 array [N] or None
        Rows of one group are not independent: they share folds, and are resampled together.
    seen : bool array [M, N]
        Whether a member was trained on a row.
    """

    logits: NDArray[np.float32]
    members: tuple[str, ...]
    class_names: tuple[str, ...]
    sample_ids: NDArray[np.str_]
    labels: NDArray[np.int64] | None
    folds: NDArray[np.int64] | None
    groups: NDArray[np.int64] | None
    seen: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.logits.shape[1]

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.logits.shape))
        return f"Predictions({shape}, members={self.members}, labeled={self.labels is not None})"

    @classmethod
    def from_logits(
        cls,
        logits: ArrayLike,
        *,
        members: Sequence[str],
        class_names: Sequence[str],
        sample_ids: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        folds: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        seen: ArrayLike | None = None,
        who: str = "predictions",
    ) -> Predictions:
        """Take logits, or log-probabilities, of any floating type.

        Parameters
        ----------
        logits : array [N, C] of one member, or [M, N, C, ...]
            Finite numbers. A constant added to a row changes nothing.
        members, class_names : sequence of str
            Names along the first and the third axis.
        sample_ids : array [N], optional
            Names of the samples; row numbers when left out.
        labels, folds : int array [N], optional
            Class index and fold of each sample.
        groups : array [N], optional
            Group of each sample: numbers or names.
        seen : bool array [M, N], optional
            Rows that a member was trained on; none when left out.
        who : str
            Named in error messages, such as a file.

        Raises
        ------
        DataError
            Shapes that do not fit, numbers that are not finite, or names that are not unique.
        """
        array = as_float32(logits, who)
        array = array[None] if array.ndim == 2 else array
        check_shape(array, members, class_names, who)
        rows = array.shape[1]
        ids = (
            np.arange(rows).astype(np.str_) if sample_ids is None else np.asarray(sample_ids).astype(np.str_)
        )
        if ids.shape != (rows,):
            raise DataError(f"{who}: sample ids", expected=f"{rows}, one a row", got=str(ids.size))
        check_unique(ids, f"{who}: sample ids")
        check_finite(array, ids, who)
        return cls(
            array,
            tuple(map(str, members)),
            tuple(map(str, class_names)),
            ids,
            check_labels(labels, rows, len(class_names), f"{who}: labels"),
            whole_numbers(folds, rows, f"{who}: folds"),
            group_numbers(groups, rows, who),
            _seen(seen, array.shape[:2], who),
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
        """Take probabilities `[N, C]` or `[M, N, C, ...]`; the other parameters are those of `from_logits`.

        Their logarithms are kept, zeros as the smallest float32 (about e^-87).

        Raises
        ------
        DataError
            A number is negative, or a row does not sum to 1 within 0.001; and what `from_logits` refuses.
        """
        array = as_float32(probabilities, who)
        array = array[None] if array.ndim == 2 else array
        if array.ndim > 2:
            check_sums(array, sample_ids, who)
        logs = np.maximum(array, np.finfo(np.float32).tiny)
        np.log(logs, out=logs)
        return cls.from_logits(logs, sample_ids=sample_ids, who=who, **rest)

    def rows(self, index: ArrayLike) -> Predictions:
        """Return some rows, in the order of an index array, or where a mask is true."""
        picked = np.asarray(index)
        picked = np.flatnonzero(picked) if picked.dtype == np.bool_ else picked.astype(np.int64)
        return replace(
            self,
            logits=np.take(self.logits, picked, axis=1),
            sample_ids=self.sample_ids[picked],
            labels=None if self.labels is None else self.labels[picked],
            folds=None if self.folds is None else self.folds[picked],
            groups=None if self.groups is None else self.groups[picked],
            seen=self.seen[:, picked],
        )

    def select(self, members: Sequence[str]) -> Predictions:
        """Return some members, in the order of `members`.

        Raises
        ------
        UnknownNameError
            There is no member of that name.
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
        return replace(self, members=tuple(members), logits=self.logits[picked], seen=self.seen[picked])

    def with_labels(
        self,
        sample_ids: ArrayLike,
        labels: ArrayLike,
        *,
        folds: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        who: str = "labels",
    ) -> Predictions:
        """Attach labels by sample id, and folds and groups where they are given.

        What is given for samples that are not here is left aside.

        Parameters
        ----------
        sample_ids : array [L]
            Unique names, which include all of these predictions'.
        labels : array [L]
            Whole numbers are class indices. Text is class names or, where no class is called so, indices.
        folds, groups : array [L], optional
            As for `from_logits`; they replace those that are here.
        who : str
            Named in error messages, such as a file.

        Raises
        ------
        DataError
            A sample has no label or two, or a label is no class.
        """
        ids, given = np.asarray(sample_ids).astype(np.str_), np.asarray(labels)
        if ids.shape != given.shape or ids.ndim != 1:
            raise DataError(who, expected="one label an id", got=f"{ids.size} ids and {given.size} labels")
        check_unique(ids, f"{who}: sample ids")
        places, missing = find(ids, self.sample_ids)
        if missing.any():
            lacking = first_five(self.sample_ids[missing])
            raise DataError(who, expected="a label for each sample", got=f"none for {lacking}")
        fold = whole_numbers(folds, len(ids), f"{who}: folds")
        group = group_numbers(groups, len(ids), who)
        return replace(
            self,
            labels=class_indices(given[places], self.class_names, who),
            folds=self.folds if fold is None else fold[places],
            groups=self.groups if group is None else group[places],
        )

    def with_classes(self, class_names: Sequence[str], *, of: str = "") -> Predictions:
        """Return the same predictions with their classes in another order.

        Parameters
        ----------
        class_names : sequence of str
            The same names as here.
        of : str
            Whose order it is, for error messages.

        Raises
        ------
        DataError
            A class is missing, or one too many.
        """
        if tuple(class_names) == self.class_names:
            return self
        unlike = [name for name in self.class_names if name not in class_names]
        lacking = [name for name in class_names if name not in self.class_names]
        if unlike or lacking:
            raise DataError(
                f"predictions of {_who(self)}",
                expected=f"the classes {of or first_five(class_names)}",
                got=first_five(unlike) if unlike else f"none called {first_five(lacking)}",
                todo=nearest(unlike[0], class_names) if unlike else "",
            )
        picked = np.array([self.class_names.index(name) for name in class_names])
        renumber = np.argsort(picked)
        return replace(
            self,
            class_names=tuple(class_names),
            logits=np.take(self.logits, picked, axis=2),
            labels=None if self.labels is None else renumber[self.labels],
        )

    def require_labels(self, who: str) -> NDArray[np.int64]:
        """Return the labels `[N]`, or raise DataError when there are none."""
        if self.labels is None:
            raise DataError(
                who,
                expected="labeled predictions",
                got="none",
                todo="Attach labels: predictions.with_labels(ids, labels).",
            )
        return self.labels

    def require_unseen(self, who: str) -> None:
        """Raise LeakError when a member was trained on one of these rows."""
        if not self.seen.any():
            return
        counts = self.seen.sum(axis=1)
        worst = int(counts.argmax())
        raise LeakError(
            who,
            expected="rows that no member was trained on",
            got=f"{counts[worst]} of {len(self)} that '{self.members[worst]}' has seen",
            todo="Use out-of-fold predictions, or rows that were kept apart.",
        )

    @staticmethod
    def join(parts: Sequence[Predictions]) -> Predictions:
        """Put the members of several predictions side by side, by sample id and class name.

        Samples and classes are in the order of the first part.

        Raises
        ------
        DataError
            A sample or a class that one part has and another lacks, a label, fold or group that differs, or
            a member's name used twice.
        """
        if not parts:
            raise DataError("predictions", expected="at least one member", got="none")
        first = parts[0]
        check_unique(np.array([name for part in parts for name in part.members]), "members")
        aligned = [first, *(_align(part, first) for part in parts[1:])]
        if len(aligned) == 1:
            return first
        return Predictions(
            np.concatenate([part.logits for part in aligned]),
            tuple(name for part in aligned for name in part.members),
            first.class_names,
            first.sample_ids,
            _agree(aligned, "labels"),
            _agree(aligned, "folds"),
            _agree(aligned, "groups"),
            np.concatenate([part.seen for part in aligned]),
        )

    def save(self, folder: str | Path) -> None:
        """Write `logits.npy`, `labels.npy`, `folds.npy`, `groups.npy`, `seen.npy` and `predictions.json`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "logits.npy", self.logits)
        for name in _COLUMNS:
            if getattr(self, name) is not None:
                np.save(folder / f"{name}.npy", getattr(self, name))
        text = json.dumps(
            {
                "protocol": PROTOCOL,
                "members": self.members,
                "class_names": self.class_names,
                "columns": [name for name in _COLUMNS if getattr(self, name) is not None],
                "sample_ids": self.sample_ids.tolist(),
            },
            ensure_ascii=False,
        )
        (folder / "predictions.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, mmap: bool = True) -> Predictions:
        """Read what `save` wrote; logits stay on disk until they are used, unless `mmap` is false.

        Raises
        ------
        StoreError
            A file is missing or damaged, was written by another protocol, or has another shape.
        """
        folder = Path(folder)
        facts = read_json(folder / "predictions.json", "saved predictions")
        if facts.get("protocol") != PROTOCOL:
            raise StoreError(
                str(folder / "predictions.json"),
                expected=f"protocol {PROTOCOL}",
                got=str(facts.get("protocol")),
            )
        return build(lambda: _read(folder, facts, mmap), folder, "saved predictions")


def _read(folder: Path, facts: Mapping[str, Any], mmap: bool) -> Predictions:
    """Read and check what `save` wrote, but whether all numbers are finite: that would read them all."""
    who = str(folder)
    members, classes = tuple(facts["members"]), tuple(facts["class_names"])
    ids = text_array(facts["sample_ids"])
    check_unique(ids, f"{who}: sample ids")
    logits = load_npy(folder / "logits.npy", mmap=mmap)
    shape = (len(members), len(ids), len(classes))
    if logits.dtype != np.float32 or logits.shape[:3] != shape:
        raise StoreError(
            str(folder / "logits.npy"),
            expected=f"float32 {list(shape)}",
            got=f"{logits.dtype} {list(logits.shape)}",
        )
    check_shape(logits, members, classes, who)
    columns = {name: load_npy(folder / f"{name}.npy") for name in _COLUMNS if name in facts["columns"]}
    for name, column in columns.items():
        if column.shape != (shape[:2] if name == "seen" else shape[1:2]):
            raise StoreError(
                str(folder / f"{name}.npy"), expected=f"{shape[1]} rows", got=f"an array {list(column.shape)}"
            )
    rows = len(ids)
    return Predictions(
        logits,
        members,
        classes,
        ids,
        check_labels(columns.get("labels"), rows, len(classes), f"{who}: labels"),
        whole_numbers(columns.get("folds"), rows, f"{who}: folds"),
        whole_numbers(columns.get("groups"), rows, f"{who}: groups"),
        _seen(columns["seen"], shape[:2], who),
    )


def read_logits(folder: Path, rows: slice) -> NDArray[np.float32]:
    """Read some rows of what `Predictions.save` wrote, `[M, n, C, ...]`; nothing of the file stays mapped."""
    return np.array(load_npy(folder / "logits.npy", mmap=True)[:, rows])


def _seen(seen: ArrayLike | None, shape: tuple[int, ...], who: str) -> NDArray[np.bool_]:
    array = np.zeros(shape, np.bool_) if seen is None else np.asarray(seen, dtype=np.bool_)
    if array.shape != shape:
        raise DataError(f"{who}: seen", expected=f"an array {list(shape)}", got=str(list(array.shape)))
    return array


def _align(part: Predictions, first: Predictions) -> Predictions:
    who, of = f"predictions of {_who(part)}", f"of {_who(first)}"
    places, missing = find(part.sample_ids, first.sample_ids)
    if missing.any() or len(part) != len(first):
        extra = part.sample_ids[find(first.sample_ids, part.sample_ids)[1]]
        lacks = f"none for {first_five(first.sample_ids[missing])}" if missing.any() else ""
        raise DataError(
            who,
            expected=f"the samples {of}",
            got=" and ".join(filter(None, (lacks, f"also {first_five(extra)}" if len(extra) else ""))),
        )
    part = part.with_classes(first.class_names, of=of)
    return part if np.array_equal(part.sample_ids, first.sample_ids) else part.rows(places)


def _agree(parts: Sequence[Predictions], column: str) -> NDArray[np.int64] | None:
    having = [part for part in parts if getattr(part, column) is not None]
    if not having:
        return None
    values: NDArray[np.int64] = getattr(having[0], column)
    for part in having[1:]:
        differs = values != getattr(part, column)
        if differs.any():
            raise DataError(
                f"predictions of {_who(part)}",
                expected=f"the {column} of {_who(having[0])}",
                got=f"others for {first_five(part.sample_ids[differs])}",
            )
    return values


def _who(part: Predictions) -> str:
    return first_five(part.members)
