"""The stored predictions of several members, joined: the rows a combiner may learn from, and the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from committee.errors import StoreError
from committee.pipeline.shared.records import is_adopted, member_facts
from committee.predictions.table import Predictions
from committee.store.layout import Store
from committee.store.manifest import NAME, read_whole

log = logging.getLogger(__name__)


def fitting_rows(
    store: Store, members: Iterable[str], deployed: Mapping[str, str]
) -> tuple[Predictions, str]:
    """Return the rows that combiners learn from, and what they are: `oof` or `val`.

    Out-of-fold rows where every member has them. Members trained with `folds: 0` have none: if no member has
    any, the rows of a `val` split that was kept apart serve instead; also where adopted members may have seen
    so many of the others that the split has more rows, or more classes. Rows that some member has seen are
    left out.

    Raises
    ------
    StoreError
        Some members have no out-of-fold predictions, and no rows kept apart serve instead.
    """
    members = list(members)
    has_val = has_split(store, members, "val", deployed)
    trained = [name for name in members if not is_adopted(store, name)] or members
    if not any(_there(_oof(store, name)) for name in trained) and has_val:
        return _enough(split_rows(store, members, "val", deployed)), "val"
    rows = oof_rows(store, members)
    if has_val and rows.seen.any():
        apart = split_rows(store, members, "val", deployed)
        if _teaches_more(unseen(apart), unseen(rows)):
            return _enough(apart), "val"
    return _enough(rows), "oof"


def _teaches_more(rows: Predictions, others: Predictions) -> bool:
    """Return whether rows have more classes than others, or as many classes and more rows."""

    def size(of: Predictions) -> tuple[int, int]:
        return (len(np.unique(of.require_labels("rows"))) if len(of) else 0), len(of)

    return is_enough(rows) and size(rows) > size(others)


def unseen(rows: Predictions) -> Predictions:
    """Return the rows that no member was trained on."""
    return rows.rows(~rows.seen.any(axis=0)) if rows.seen.any() else rows


def is_enough(rows: Predictions) -> bool:
    """Return whether there are rows to learn from: two of each of two classes."""
    return len(rows) > 0 and int((np.bincount(rows.require_labels("rows")) >= 2).sum()) >= 2


def _enough(rows: Predictions) -> Predictions:
    """Return the rows that no member has seen, and say how many they are; refuse too few."""
    fresh = unseen(rows)
    if len(fresh) == len(rows):
        return rows
    blamed = [name for name, seen in zip(rows.members, rows.seen, strict=True) if seen.any()]
    if not is_enough(fresh):
        raise StoreError(
            ", ".join(blamed),
            expected="rows that no member has seen, to learn from",
            got=f"{len(fresh)} of {len(rows)}",
            todo="Say which are fresh (committee adopt --fresh FILE), or leave it out: backbones.exclude.",
        )
    log.info(
        "%d of %d rows are left to learn from: the others were, or may have been, seen by %s",
        len(fresh),
        len(rows),
        ", ".join(blamed),
    )
    return fresh


def oof_rows(store: Store, members: Iterable[str]) -> Predictions:
    """Return the joined out-of-fold predictions of members.

    Raises
    ------
    StoreError
        Some members have none.
    """
    members = list(members)
    lacking = [name for name in members if not _there(_oof(store, name))]
    if lacking:
        names = ", ".join(lacking)
        raise StoreError(
            f"No K-fold results for {names}: train it with folds, or name it in backbones.exclude"
        )
    return Predictions.join([_load(_oof(store, name)) for name in members])


def load_predictions(
    store: Store, members: Iterable[str] = (), split: str = "oof", *, inference: str | None = None
) -> Predictions:
    """Take the stored predictions of members out of a store, joined.

    Parameters
    ----------
    store : Store
    members : iterable of str
        Their names; none means all members of the store.
    split : {"oof", "test", "val"}
        `oof`: every training row, by the fold network that did not see it.
    inference : {"refit", "folds"}, optional
        By which networks the rows of `test` and `val` are predicted. Left out: those that the recipe that
        trained the member asked for.

    Raises
    ------
    UnknownNameError
        The store has no member of a name.
    StoreError
        The store has no members, or a member has no such predictions.
    """
    names = [store.resolve(name) for name in members] or list(store.members())
    if not names:
        raise StoreError(
            str(store.root), expected="trained members", got="none", todo="Run: committee train RECIPE"
        )
    if split == "oof":
        return oof_rows(store, names)
    trained = {name: str(member_facts(store, name).get("inference", "refit")) for name in names}
    return split_rows(store, names, split, {name: inference or own for name, own in trained.items()})


def has_split(store: Store, members: Iterable[str], split: str, deployed: Mapping[str, str]) -> bool:
    """Tell whether every member has stored predictions of `split` (`test` or `val`)."""
    return all(_there(split_folder(store, name, split, deployed[name])) for name in members)


def split_rows(store: Store, members: Iterable[str], split: str, deployed: Mapping[str, str]) -> Predictions:
    """Return the joined predictions of `split` by the networks that speak for each member.

    Raises
    ------
    StoreError
        A member lacks them, or they are damaged.
    """
    found = []
    for name in members:
        folder = split_folder(store, name, split, deployed[name])
        if not _there(folder):
            raise StoreError(
                name,
                expected=f"stored predictions of the {split} split by its {deployed[name]} networks",
                got="none",
                todo="Run: committee train RECIPE",
            )
        found.append(_load(folder))
    return Predictions.join(found)


def _oof(store: Store, member: str) -> Path:
    return store.kfold(member) / "oof"


def split_folder(store: Store, member: str, split: str, inference: str) -> Path:
    """Return where a member's predictions of `split` by its `refit` or `folds` networks are."""
    return store.kfold(member) / f"{split}_{inference}"


def _there(folder: Path) -> bool:
    return (folder / NAME).exists()


def _load(folder: Path) -> Predictions:
    return read_whole(folder, Predictions.load)
