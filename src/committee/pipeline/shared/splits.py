"""Joined predictions of stored members: the rows on which combiners are fitted, and the other splits."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from committee.errors import StoreError
from committee.pipeline.shared.records import inference_of, is_adopted, member_facts
from committee.predictions.table import Predictions
from committee.store.layout import Store
from committee.store.manifest import NAME, read_whole

log = logging.getLogger(__name__)

FEWEST = 4
"""Rows of numbers on which a combiner can be fitted."""


def fitting_rows(
    store: Store, members: Iterable[str], deployed: Mapping[str, str]
) -> tuple[Predictions, str]:
    """Return the rows on which combiners are fitted, and their kind: `oof` or `val`.

    These are the out-of-fold rows if every member has them. Members trained with `folds: 0` have none: if no
    member has any, the rows of the val split are used. The val split is also used if adopted members may have
    been trained on so many out-of-fold rows that the val split has more rows or classes left. Rows that a
    member was trained on are excluded.

    Raises
    ------
    StoreError
        Some members have no out-of-fold predictions and the val split cannot replace them, or too few rows
        are left.
    """
    members = list(members)
    has_val = has_split(store, members, "val", deployed)
    trained = [name for name in members if not is_adopted(store, name)] or members
    if not any(_exists(_oof(store, name)) for name in trained) and has_val:
        return _require_enough(split_rows(store, members, "val", deployed)), "val"
    rows = oof_rows(store, members)
    if has_val and rows.seen.any():
        val = split_rows(store, members, "val", deployed)
        if _is_larger(unseen(val), unseen(rows)):
            return _require_enough(val), "val"
    return _require_enough(rows), "oof"


def fittable(store: Store, members: Iterable[str], deployed: Mapping[str, str]) -> list[str]:
    """Return the members on whose predictions combiners can be fitted, and log each other one by name.

    An adopted member that may have been trained on too many rows would leave no rows for the others. If all
    members are such, all are returned, and `fitting_rows` raises.
    """
    members = list(members)
    left_out = [name for name in members if is_adopted(store, name) and not _has_rows(store, name, deployed)]
    kept = [name for name in members if name not in left_out]
    for name in left_out if kept else []:
        log.warning(
            "%s is left out of ensembles: it may have been trained on the rows that combiners are fitted on. "
            "Name the images that it was not trained on: committee adopt --seen or --fresh",
            name,
        )
    return kept or left_out


def _has_rows(store: Store, member: str, deployed: Mapping[str, str]) -> bool:
    """Return whether the member alone has enough rows that it was not trained on."""
    found = [oof_rows(store, [member])] if _exists(_oof(store, member)) else []
    if has_split(store, [member], "val", deployed):
        found.append(split_rows(store, [member], "val", deployed))
    return any(is_enough(unseen(rows)) for rows in found)


def _is_larger(rows: Predictions, others: Predictions) -> bool:
    """Return whether rows have more classes than others, or as many classes and more rows."""

    def size(of: Predictions) -> tuple[int, int]:
        return (len(np.unique(of.strata("rows"))) if len(of) else 0), len(of)

    return is_enough(rows) and size(rows) > size(others)


def unseen(rows: Predictions) -> Predictions:
    """Return the rows that no member was trained on."""
    return rows.rows(~rows.seen.any(axis=0)) if rows.seen.any() else rows


def is_enough(rows: Predictions) -> bool:
    """Return whether a combiner can be fitted on the rows: two classes with two rows each, or four rows."""
    if not rows.target_type.everywhere:
        return len(rows) >= FEWEST
    return len(rows) > 0 and int((np.bincount(rows.require_labels("rows")) >= 2).sum()) >= 2


def _require_enough(rows: Predictions) -> Predictions:
    """Return the rows that no member was trained on, and log their number; raise StoreError for too few."""
    fresh = unseen(rows)
    if len(fresh) == len(rows):
        return rows
    trained_on_rows = [name for name, seen in zip(rows.members, rows.seen, strict=True) if seen.any()]
    if not is_enough(fresh):
        raise StoreError(
            ", ".join(trained_on_rows),
            expected="rows that no member was trained on",
            got=f"{len(fresh)} of {len(rows)}",
            todo="List such rows with committee adopt --fresh FILE, or use backbones.exclude.",
        )
    log.info(
        "%d of %d rows are used to fit combiners: the others were, or may have been, used to train %s",
        len(fresh),
        len(rows),
        ", ".join(trained_on_rows),
    )
    return fresh


def rows_in_words(rows: Predictions, kind: str) -> str:
    """Return the number and kind of rows, and their members, such as `191 out-of-fold rows of a, b`."""
    return f"{len(rows)} {'out-of-fold' if kind == 'oof' else kind} rows of {', '.join(rows.members)}"


def oof_rows(store: Store, members: Iterable[str]) -> Predictions:
    """Return the joined out-of-fold predictions of members.

    Raises
    ------
    StoreError
        Some members have no out-of-fold predictions.
    """
    members = list(members)
    missing = [name for name in members if not _exists(_oof(store, name))]
    if missing:
        names = ", ".join(missing)
        raise StoreError(
            f"No K-fold results for {names}: train it with folds, or name it in backbones.exclude"
        )
    return Predictions.join([_load(_oof(store, name)) for name in members])


def load_predictions(
    store: Store | str | Path,
    members: Iterable[str] = (),
    split: str = "oof",
    *,
    inference: str | None = None,
) -> Predictions:
    """Load the joined predictions of stored members.

    Parameters
    ----------
    store : Store, str or Path
        The store, or its folder.
    members : iterable of str
        Names of members; all members of the store if empty.
    split : {"oof", "test", "val"}
        `oof` are the training rows, each predicted by the network of the fold that was trained without it.
    inference : {"refit", "folds"}, optional
        The networks that predict the rows of `test` and `val`. The default is that of the recipe that trained
        the member.

    Raises
    ------
    UnknownNameError
        The store has no member with one of the names.
    StoreError
        The store has no members, or a member has no such predictions.

    Examples
    --------
    >>> import committee
    >>> from committee.combiners import Weighted
    >>> rows = committee.load_predictions("store", split="oof")  # doctest: +SKIP
    >>> weights = Weighted().fit(rows).member_weights()  # doctest: +SKIP
    """
    store = Store.of(store)
    names = [store.resolve(name) for name in members] or list(store.members())
    if not names:
        raise StoreError(
            str(store), expected="trained members", got="none", todo="Run: committee train RECIPE"
        )
    if split == "oof":
        return oof_rows(store, names)
    trained = {name: inference_of(member_facts(store, name)) for name in names}
    return split_rows(store, names, split, {name: inference or stored for name, stored in trained.items()})


def has_split(store: Store, members: Iterable[str], split: str, deployed: Mapping[str, str]) -> bool:
    """Return whether every member has stored predictions of `split` (`test` or `val`)."""
    return all(_exists(split_folder(store, name, split, deployed[name])) for name in members)


def split_rows(store: Store, members: Iterable[str], split: str, deployed: Mapping[str, str]) -> Predictions:
    """Return the joined predictions of `split` by the deployed networks of each member.

    Raises
    ------
    StoreError
        A member has no such predictions, or they are damaged.
    """
    found = []
    for name in members:
        folder = split_folder(store, name, split, deployed[name])
        if not _exists(folder):
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
    """Return the folder of the predictions of `split` by the `refit` or `folds` networks of a member."""
    return store.kfold(member) / f"{split}_{inference}"


def _exists(folder: Path) -> bool:
    return (folder / NAME).exists()


def _load(folder: Path) -> Predictions:
    return read_whole(folder, Predictions.load)
