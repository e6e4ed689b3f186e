"""The stored rows on which combiners are fitted."""

from __future__ import annotations

import numpy as np
import pytest

from committee.errors import StoreError
from committee.pipeline.shared.splits import fitting_rows, has_split, load_predictions, split_rows
from committee.predictions.table import Predictions
from committee.store.commit import commit
from committee.store.layout import Store

DEPLOYED = {"a": "refit", "b": "refit"}


def put(store: Store, member: str, what: str, folds: bool = False) -> None:
    rows = 12
    predictions = Predictions.from_logits(
        np.random.default_rng(len(what)).normal(size=(rows, 3)).astype(np.float32),
        members=[member],
        class_names=["x", "y", "z"],
        sample_ids=[f"{what[:3]}{row}" for row in range(rows)],
        labels=np.arange(rows) % 3,
        folds=np.arange(rows) % 2 if folds else None,
    )
    with commit(store.kfold(member) / what, kind="predictions", fingerprint="x") as folder:
        predictions.save(folder)


def test_out_of_fold_rows_where_all_have_them(store: Store) -> None:
    for name in DEPLOYED:
        put(store, name, "oof", folds=True)
        put(store, name, "val_refit")
    predictions, rows = fitting_rows(store, DEPLOYED, DEPLOYED)
    assert (rows, predictions.members, predictions.logits.shape) == ("oof", ("a", "b"), (2, 12, 3))
    assert predictions.folds is not None and predictions.sample_ids[0] == "oof0"


def test_val_rows_where_no_member_has_folds(store: Store) -> None:
    for name in DEPLOYED:
        put(store, name, "val_refit")
    predictions, rows = fitting_rows(store, DEPLOYED, DEPLOYED)
    assert (rows, predictions.folds, predictions.sample_ids[0]) == ("val", None, "val0")


@pytest.mark.parametrize(("having", "named"), [(["a"], "b"), ([], "a, b")])
def test_a_member_without_folds_is_named(store: Store, having: list[str], named: str) -> None:
    put(store, "b", "val_refit")
    for name in having:
        put(store, name, "oof", folds=True)
    with pytest.raises(StoreError) as caught:
        fitting_rows(store, DEPLOYED, DEPLOYED)
    assert str(caught.value) == (
        f"No K-fold results for {named}: train it with folds, or name it in backbones.exclude."
    )


def test_splits_by_the_deployed_networks(store: Store) -> None:
    put(store, "a", "test_folds")
    assert has_split(store, ["a"], "test", {"a": "folds"})
    assert not has_split(store, ["a"], "test", DEPLOYED)
    assert len(split_rows(store, ["a"], "test", {"a": "folds"})) == 12
    with pytest.raises(StoreError) as caught:
        split_rows(store, ["a"], "test", DEPLOYED)
    assert str(caught.value) == (
        "a: expected stored predictions of the test split by its refit networks, got none. "
        "Run: committee train RECIPE"
    )


def test_damaged_predictions_are_refused(store: Store) -> None:
    put(store, "a", "oof", folds=True)
    path = store.kfold("a") / "oof" / "logits.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError) as caught:
        fitting_rows(store, ["a"], DEPLOYED)
    assert str(caught.value) == (
        f"{path}: expected the content that was stored, got other bytes. Run the command that made it again."
    )


def test_predictions_are_loaded_by_name(trained: Store, store: Store) -> None:
    names = ("test_resnet", "test_vit")
    oof = load_predictions(trained)
    assert (oof.members, oof.logits.shape[1], oof.folds is not None) == (names, 191, True)
    test = load_predictions(str(trained.root), ["test_vit"], "test", inference="folds")
    stored = Predictions.load(trained.kfold("test_vit") / "test_folds")
    np.testing.assert_array_equal(test.logits, stored.logits)
    with pytest.raises(StoreError) as caught:
        load_predictions(store)
    assert str(caught.value) == (
        f"{store.root}: expected trained members, got none. Run: committee train RECIPE"
    )


def seen_rows(store: Store, member: str, what: str, seen: int) -> None:
    folder = store.kfold(member) / what
    rows = Predictions.load(folder)
    marked = Predictions.from_logits(
        rows.logits,
        members=rows.members,
        class_names=rows.class_names,
        sample_ids=rows.sample_ids,
        labels=rows.labels,
        folds=rows.folds,
        seen=(np.arange(len(rows)) < seen)[None],
    )
    with commit(folder, kind="predictions", fingerprint="y") as new:
        marked.save(new)


@pytest.mark.parametrize(("seen", "rows", "count"), [(0, "oof", 12), (6, "val", 12), (12, "val", 12)])
def test_val_rows_are_used_where_there_are_more(store: Store, seen: int, rows: str, count: int) -> None:
    for name in DEPLOYED:
        put(store, name, "oof", folds=True)
        put(store, name, "val_refit")
    seen_rows(store, "a", "oof", seen)
    predictions, kind = fitting_rows(store, DEPLOYED, DEPLOYED)
    assert (kind, len(predictions)) == (rows, count)


def test_unseen_rows_are_used_without_a_val_split(store: Store) -> None:
    for name in DEPLOYED:
        put(store, name, "oof", folds=True)
    seen_rows(store, "a", "oof", 6)
    predictions, kind = fitting_rows(store, DEPLOYED, DEPLOYED)
    assert (kind, len(predictions)) == ("oof", 6)
