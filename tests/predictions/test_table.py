"""Predictions: checks, joining by id and class name, saving and loading."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from committee.errors import DataError, LeakError, StoreError, UnknownNameError
from committee.predictions.table import Predictions

CLASSES = ("cat", "dog", "owl")


def made(members: tuple[str, ...] = ("a",), rows: int = 6, seed: int = 0, **columns: Any) -> Predictions:
    logits = np.random.default_rng(seed).normal(size=(len(members), rows, 3))
    columns = {"sample_ids": [f"s{row}" for row in range(rows)], "class_names": CLASSES, **columns}
    return Predictions.from_logits(logits, members=members, **columns)


def sentence(error: type[Exception], act: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        act()
    return str(caught.value)


def test_one_member_may_come_without_its_axis() -> None:
    found = Predictions.from_logits(np.zeros((4, 2)), members=["a"], class_names=["x", "y"])
    assert found.logits.shape == (1, 4, 2) and found.logits.dtype == np.float32
    assert found.sample_ids.tolist() == ["0", "1", "2", "3"]
    assert found.labels is None and found.folds is None and found.groups is None
    assert found.seen.shape == (1, 4) and not found.seen.any()
    assert len(found) == 4
    assert repr(found) == "Predictions(1 x 4 x 2, members=('a',), labeled=False)"


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_probabilities_become_logarithms(kind: type) -> None:
    given_ = np.array([[0.25, 0.75], [1.0, 0.0]], kind)
    found = Predictions.from_probabilities(given_, members=["a"], class_names=["x", "y"])
    np.testing.assert_allclose(np.exp(found.logits[0]), given_, atol=2e-6)
    assert np.isfinite(found.logits).all()


def test_float32_logits_are_not_copied() -> None:
    logits = np.zeros((2, 3, 4), np.float32)
    assert Predictions.from_logits(logits, members="ab", class_names="wxyz").logits is logits


def test_dense_outputs_keep_their_axes() -> None:
    found = Predictions.from_logits(np.zeros((2, 3, 4, 5, 6)), members="ab", class_names="wxyz")
    assert found.rows([0]).select(["b"]).logits.shape == (1, 1, 4, 5, 6)


def test_rows_by_index_and_by_mask() -> None:
    whole = made(("a", "b"), labels=[0, 1, 2, 0, 1, 2], folds=[0, 0, 0, 1, 1, 1], groups=list("xxyyzz"))
    part = whole.rows([4, 0])
    assert part.sample_ids.tolist() == ["s4", "s0"]
    assert part.labels is not None and part.labels.tolist() == [1, 0]
    assert part.folds is not None and part.folds.tolist() == [1, 0]
    assert part.groups is not None and part.groups.tolist() == [2, 0]
    np.testing.assert_array_equal(part.logits, whole.logits[:, [4, 0]])
    mask = np.array([True, False, False, False, True, False])
    assert whole.rows(mask).sample_ids.tolist() == ["s0", "s4"]


def test_select_orders_members() -> None:
    whole = made(("a", "b", "c"), seen=np.arange(18).reshape(3, 6) % 2 == 0)
    part = whole.select(["c", "a"])
    assert part.members == ("c", "a")
    np.testing.assert_array_equal(part.logits, whole.logits[[2, 0]])
    assert whole.select(["a", "b", "c"]) is whole
    assert sentence(UnknownNameError, lambda: made(("resnet18", "vit")).select(["resnet81"])) == (
        "members: expected names among 'resnet18', 'vit', got 'resnet81'. Did you mean 'resnet18'?"
    )


@given(st.permutations(range(6)), st.permutations(range(3)))
@settings(max_examples=30, deadline=None)
def test_joining_is_by_id_and_class_name(rows: list[int], classes: list[int]) -> None:
    first, second = made(labels=[0, 1, 2, 0, 1, 2]), made(("b",), seed=1, labels=[0, 1, 2, 0, 1, 2])
    assert second.labels is not None
    names = [CLASSES[index] for index in classes]
    shuffled = Predictions.from_logits(
        second.logits[:, rows][:, :, classes],
        members=["b"],
        class_names=names,
        sample_ids=second.sample_ids[rows],
        labels=np.argsort(classes)[second.labels[rows]],
    )
    straight, joined = Predictions.join([first, second]), Predictions.join([first, shuffled])
    assert joined.members == ("a", "b") and joined.class_names == CLASSES
    np.testing.assert_array_equal(joined.logits, straight.logits)
    np.testing.assert_array_equal(joined.sample_ids, first.sample_ids)
    assert joined.labels is not None
    np.testing.assert_array_equal(joined.labels, [0, 1, 2, 0, 1, 2])


def test_joining_takes_columns_from_whoever_has_them() -> None:
    bare, rich = made(), made(("b",), labels=[0, 1, 2, 0, 1, 2], folds=[0, 1, 0, 1, 0, 1])
    joined = Predictions.join([bare, rich.rows([5, 4, 3, 2, 1, 0])])
    assert joined.labels is not None and joined.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert joined.folds is not None and joined.folds.tolist() == [0, 1, 0, 1, 0, 1]
    assert Predictions.join([bare]) is bare


def test_joining_what_does_not_fit() -> None:
    first = made(rows=8)

    def joining(second: Predictions) -> str:
        return sentence(DataError, lambda: Predictions.join([first, second]))

    assert joining(made(("b",), rows=2)) == (
        "predictions of 'b': expected the samples of 'a', "
        "got none for 's2', 's3', 's4', 's5', 's6' and 1 more."
    )
    assert joining(made(("b",), rows=9)) == (
        "predictions of 'b': expected the samples of 'a', got also 's8'."
    )
    assert joining(made(("b",), rows=8, sample_ids=[*(f"s{row}" for row in range(7)), "t7"])) == (
        "predictions of 'b': expected the samples of 'a', got none for 's7' and also 't7'."
    )
    assert joining(made(("b",), rows=8, class_names=["cat", "dog", "owls"])) == (
        "predictions of 'b': expected the classes of 'a', got 'owls'. Did you mean 'owl'?"
    )
    assert joining(made(rows=8)) == "members: expected unique names, got duplicates of 'a'."
    assert sentence(DataError, lambda: Predictions.join([])) == (
        "predictions: expected at least one member, got none."
    )


def test_fewer_classes_do_not_fit() -> None:
    two = Predictions.from_logits(
        np.zeros((6, 2)),
        members=["b"],
        class_names=["cat", "owl"],
        sample_ids=[f"s{row}" for row in range(6)],
    )
    assert sentence(DataError, lambda: Predictions.join([made(), two])) == (
        "predictions of 'b': expected the classes of 'a', got no class 'dog'."
    )


@pytest.mark.parametrize("column", ["labels", "folds", "groups"])
def test_columns_that_disagree(column: str) -> None:
    first, second = made(**{column: [0] * 6}), made(("b",), **{column: [0, 1, 1, 1, 1, 1]})
    assert sentence(DataError, lambda: Predictions.join([first, second])) == (
        f"predictions of 'b': expected the {column} of 'a', "
        f"got different {column} for 's1', 's2', 's3', 's4', 's5'."
    )


def test_groups_are_equal_if_the_same_rows_share_them() -> None:
    first, second = made(groups=list("aabbcc")), made(("b",), groups=[7, 7, 3, 3, 9, 9])
    joined = Predictions.join([first, second]).groups
    assert joined is not None and joined.tolist() == [0, 0, 1, 1, 2, 2]


def test_labels_attach_by_id() -> None:
    bare = made(rows=3)
    ids = ["s9", "s2", "s0", "s1"]
    for labels in ([0, 2, 0, 1], ["cat", "owl", "cat", "dog"], ["0", "2", "0", "1"]):
        are = "names" if "cat" in labels else "positions"
        labeled = bare.with_labels(ids, labels, labels_are=are).labels
        assert labeled is not None and labeled.tolist() == [0, 1, 2]


def test_numeric_class_names_win_over_indices() -> None:
    bare = Predictions.from_logits(np.zeros((2, 3)), members=["a"], class_names=["3", "1", "2"])
    labels = bare.with_labels(["0", "1"], ["3", "2"]).labels
    assert labels is not None and labels.tolist() == [0, 2]


def test_labels_that_do_not_fit() -> None:
    bare = made(rows=3)
    assert sentence(DataError, lambda: bare.with_labels(["s0"], [0], who="y.csv")) == (
        "y.csv: expected a label for each sample, got none for 's1', 's2'."
    )
    assert sentence(DataError, lambda: bare.with_labels(["s0", "s0"], [0, 1])) == (
        "labels: sample ids: expected unique names, got duplicates of 's0'."
    )
    assert sentence(DataError, lambda: bare.with_labels(["s0"], [0, 1])) == (
        "labels: expected one label for each id, got 1 ids and 2 labels."
    )
    ids = ["s0", "s1", "s2"]
    assert sentence(DataError, lambda: bare.with_labels(ids, ["cat", "dgo", "dog"])) == (
        "labels: expected classes among 'cat', 'dog', 'owl', got 'dgo'. Did you mean 'dog'?"
    )
    assert sentence(DataError, lambda: bare.with_labels(ids, [0, 1, 3], labels_are="positions")) == (
        "labels: expected class indices 0 to 2, got 3."
    )
    assert sentence(DataError, lambda: bare.with_labels(ids, ["cat", "1", "3"])) == (
        "labels: expected classes among 'cat', 'dog', 'owl', got '1', '3'."
    )


def test_leaks_and_missing_labels_are_refused() -> None:
    made().require_unseen("weighted")
    seen = np.zeros((2, 6), bool)
    seen[1, :4] = True
    assert sentence(LeakError, lambda: made(("a", "b"), seen=seen).require_unseen("weighted")) == (
        "weighted: expected rows that no member was trained on, got 4 of 6 rows that 'b' was trained on. "
        "Use out-of-fold predictions or held-out rows."
    )
    made(labels=[0] * 6).require_labels("weighted")
    assert sentence(DataError, lambda: made().require_labels("weighted")) == (
        "weighted: expected labeled predictions, got none. "
        "Attach labels: predictions.with_labels(ids, labels)."
    )


def test_arrays_that_cannot_be_predictions() -> None:
    def making(logits: object, **rest: Any) -> str:
        rest = {"members": ["a"], "class_names": ["x", "y"], **rest}
        return sentence(DataError, lambda: Predictions.from_logits(logits, **rest))

    assert making(np.zeros((4, 3))) == (
        "predictions: expected an array [1, N, 2] of members, samples and classes, got [1, 4, 3]."
    )
    assert making(np.zeros((0, 2))) == (
        "predictions: expected at least one sample and two classes, got [1, 0, 2]."
    )
    assert making([["1", "2"]]) == "predictions: expected numbers, got an array of <U1."
    bad = np.zeros((3, 2))
    bad[1, 0], bad[2, 1] = np.nan, -np.inf
    assert making(bad, sample_ids=["p", "q", "r"], who="a.npz") == (
        "a.npz: expected finite numbers, got NaN or infinity for 'q', 'r'. "
        "Clip logarithms of zero, or give probabilities."
    )
    two = np.zeros((2, 2))
    assert making(two, sample_ids=["p", "p"]) == (
        "predictions: sample ids: expected unique names, got duplicates of 'p'."
    )
    assert (
        making(two, sample_ids=["p"]) == "predictions: sample ids: expected 2 ids, one for each row, got 1."
    )
    assert making(two, class_names=["x", "x"]) == (
        "predictions: class names: expected unique names, got duplicates of 'x'."
    )
    assert making(two, labels=[0, 2]) == "predictions: labels: expected class indices 0 to 1, got 2."
    assert making(two, labels=[-1, 1]) == "predictions: labels: expected class indices 0 to 1, got -1."
    assert making(two, labels=[0.0, 1.0]) == (
        "predictions: labels: expected whole numbers, got an array of float64. Convert "
        "them: labels.astype(int)."
    )
    assert (
        making(two, folds=[0]) == "predictions: folds: expected 2 values, one for each row, got an array [1]."
    )
    assert making(two, seen=[[True]]) == "predictions: seen: expected an array [1, 2], got [1, 1]."


def test_finite_numbers_whose_sum_overflows_are_fine() -> None:
    made = Predictions.from_logits(np.full((2, 2), 3e38), members=["a"], class_names=["x", "y"])
    assert np.isfinite(made.logits).all()


def test_probabilities_that_are_none() -> None:
    def making(values: object, **rest: Any) -> str:
        rest = {"members": ["a"], "class_names": ["x", "y"], "sample_ids": ["p", "q", "r"], **rest}
        return sentence(DataError, lambda: Predictions.from_probabilities(values, **rest))

    assert making([[0.5, 0.5], [2.0, 1.5], [1.0, 1.0]], who="m.csv") == (
        "m.csv: expected non-negative probabilities that sum to 1, "
        "got a sum of 3.5 in the first of 2 invalid rows, 'q', 'r'. Give unnormalized scores as logits: "
        "--values-are logits, or Predictions.from_logits."
    )
    assert making([[0.5, 0.5], [1.25, -0.25], [1.0, 0.0]]) == (
        "predictions: expected non-negative probabilities that sum to 1, "
        "got -0.25 in the first of 1 invalid rows, 'q'. Give unnormalized scores as logits: "
        "--values-are logits, or Predictions.from_logits."
    )
    assert making([[np.nan, 0.5], [1, 0], [1, 0]], sample_ids=None).startswith(
        "predictions: expected non-negative probabilities that sum to 1, got "
    )
    Predictions.from_probabilities([[0.5003, 0.5003]], members=["a"], class_names=["x", "y"])


@pytest.mark.parametrize("mmap", [True, False])
def test_saved_and_loaded(tmp_path: Path, mmap: bool) -> None:
    whole = made(
        ("a", "b"),
        labels=[0, 1, 2, 0, 1, 2],
        folds=[0, 1, 0, 1, 0, 1],
        groups=[0, 0, 1, 1, 2, 2],
        seen=np.arange(12).reshape(2, 6) % 3 == 0,
        sample_ids=["ä.png", "b c", "c,d", "d", "e", "日本"],
    )
    whole.save(tmp_path / "deep" / "er")
    again = Predictions.load(tmp_path / "deep" / "er", mmap=mmap)
    assert isinstance(again.logits, np.memmap) == mmap
    assert (again.members, again.class_names) == (whole.members, whole.class_names)
    for name in ("logits", "labels", "folds", "groups", "seen", "sample_ids"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_saved_without_columns(tmp_path: Path) -> None:
    made().save(tmp_path)
    again = Predictions.load(tmp_path)
    assert again.labels is None and again.folds is None and again.groups is None


def test_saving_again_forgets_the_columns_of_before(tmp_path: Path) -> None:
    made(labels=[0] * 6).save(tmp_path)
    made().save(tmp_path)
    assert Predictions.load(tmp_path).labels is None


def test_damaged_folders(tmp_path: Path) -> None:
    def loading() -> str:
        return sentence(StoreError, lambda: Predictions.load(tmp_path))

    assert loading().startswith(f"{tmp_path / 'predictions.json'}: the file does not exist.")
    made(labels=[0] * 6).save(tmp_path)
    np.save(tmp_path / "labels.npy", np.zeros(5, np.int64))
    assert loading() == f"{tmp_path / 'labels.npy'}: expected 6 rows, got an array [5]."
    np.save(tmp_path / "logits.npy", np.zeros((1, 6, 2), np.float32))
    assert (
        loading()
        == f"{tmp_path / 'logits.npy'}: expected float32 or float16 [1, 6, 3], got float32 [1, 6, 2]."
    )
    facts = json.loads((tmp_path / "predictions.json").read_text(encoding="utf-8"))
    (tmp_path / "predictions.json").write_text(json.dumps({**facts, "protocol": 9}), encoding="utf-8")
    assert loading() == f"{tmp_path / 'predictions.json'}: expected protocol 1, got 9."
    (tmp_path / "predictions.json").write_text("{", encoding="utf-8")
    assert loading() == f"{tmp_path / 'predictions.json'}: expected saved predictions, got a damaged one."


def test_a_truncated_array_is_named(tmp_path: Path) -> None:
    made().save(tmp_path)
    content = (tmp_path / "logits.npy").read_bytes()
    (tmp_path / "logits.npy").write_bytes(content[:-8])
    assert sentence(StoreError, lambda: Predictions.load(tmp_path)).startswith(str(tmp_path))


def test_python_objects_are_not_read(tmp_path: Path) -> None:
    made().save(tmp_path)
    np.save(tmp_path / "logits.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert sentence(StoreError, lambda: Predictions.load(tmp_path, mmap=False)).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("shape", "members", "targets", "expected"),
    [
        ((4,), 1, 1, (1, 4, 1)),
        ((4, 1), 1, 1, (1, 4, 1)),
        ((4, 2), 1, 2, (1, 4, 2)),
        ((1, 4), 1, 1, (1, 4, 1)),
        ((3, 4), 3, 1, (3, 4, 1)),
        ((3, 1), 3, 1, (3, 1, 1)),
        ((3, 4, 2), 3, 2, (3, 4, 2)),
    ],
)
def test_the_number_of_members_and_targets_says_what_the_axes_of_values_are(
    shape, members, targets, expected
):
    made = Predictions.from_values(
        np.ones(shape),
        members=[f"m{index}" for index in range(members)],
        target_names=[f"t{index}" for index in range(targets)],
    )
    assert made.logits.shape == expected and made.target_names == made.class_names


def test_logits_have_default_names() -> None:
    one = Predictions.from_logits(np.arange(6.0).reshape(2, 3), labels=[2, 0])
    assert (one.members, one.class_names) == (("member_1",), ("0", "1", "2"))
    assert one.labels.tolist() == [2, 0] and one.sample_ids.tolist() == ["0", "1"]
    assert Predictions.from_logits(np.arange(12.0).reshape(2, 2, 3)).members == ("member_1", "member_2")
    for odd in (1.0, [1.0, 2.0]):
        with pytest.raises(DataError, match="expected an array \\[1, N, 0\\] of members"):
            Predictions.from_logits(odd)
