"""Folds: stratified, grouped, and given by the user."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from committee.base.folds import check_folds, fingerprint, first_in_group, make_folds
from committee.errors import DataError, UsageError


@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 2**63 - 1))
@settings(max_examples=25, deadline=None)
def test_each_fold_has_its_share_of_each_class(k: int, classes: int, seed: int) -> None:
    labels = np.repeat(np.arange(classes), k + np.arange(classes))
    folds = make_folds(labels, k, seed=seed)
    assert folds.dtype == np.int64
    for label in range(classes):
        counts = np.bincount(folds[labels == label], minlength=k)
        assert counts.max() - counts.min() <= 1
    check_folds(folds, labels)


@given(st.lists(st.integers(0, 4), min_size=6, max_size=60), st.integers(2, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_without_groups_they_are_the_folds_of_scikit_learn(labels: list[int], k: int, seed: int) -> None:
    counted = [*labels, *range(5)] * k  # each class has at least k rows
    expected = np.empty(len(counted), np.int64)
    splitter = StratifiedKFold(k, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(counted, counted)):
        expected[held_out] = fold
    assert np.array_equal(make_folds(counted, k, seed=seed), expected)


def test_the_seed_decides() -> None:
    labels = np.arange(60) % 3
    assert np.array_equal(make_folds(labels, 4, seed=1), make_folds(labels, 4, seed=1))
    assert not np.array_equal(make_folds(labels, 4, seed=1), make_folds(labels, 4, seed=2))


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_a_group_stays_in_one_fold(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.permutation(np.repeat(np.arange(30), 4))
    labels = np.arange(120) % 2
    folds = make_folds(labels, 3, groups=np.array([f"patient {group}" for group in groups]), seed=seed)
    assert all(len(np.unique(folds[groups == group])) == 1 for group in range(30))


def test_fingerprint_does_not_depend_on_the_order_of_rows() -> None:
    ids, folds = np.array(["a", "b", "c"]), np.array([0, 1, 0])
    assert fingerprint(ids, folds) == fingerprint(ids[::-1], folds[::-1])
    assert fingerprint(ids, folds) != fingerprint(ids, folds[::-1] + 1)
    assert len(fingerprint(ids, folds)) == 64


def _sentence(error: type[Exception], function: object, *args: object, **kwargs: object) -> str:
    with pytest.raises(error) as caught:
        function(*args, **kwargs)  # type: ignore[operator]
    return str(caught.value)


def test_more_folds_than_the_smallest_class() -> None:
    labels = [0, 0, 0, 1, 1, 1, 1]
    assert _sentence(DataError, make_folds, labels, 5, class_names=["cat", "dog"]) == (
        "folds: expected at most 3, the number of training samples of class 'cat', got 5. "
        "Use 3 folds, or add samples."
    )
    labels = [0] * 9 + [1] * 9 + [2] * 4 + [3] * 3 + [4] * 9
    assert _sentence(DataError, make_folds, labels, 5, class_names=["a", "b", "c", "d", "e"]) == (
        "folds: expected at most 3, the number of training samples of class 'd', got 5. "
        "Use 3 folds, or add samples. Other classes with fewer than 5: 'c'."
    )
    assert _sentence(DataError, make_folds, [0, 1, 1], 2) == (
        "folds: expected at most 1, the number of training samples of class '0', got 2. "
        "Add samples, or leave this class out."
    )


def test_what_else_cannot_be_folded() -> None:
    assert _sentence(UsageError, make_folds, [0, 0], 1) == "folds: expected at least 2, got 1."
    assert _sentence(DataError, make_folds, [], 2) == "folds: expected labeled rows, got none."
    assert _sentence(DataError, make_folds, [0, 0, 0], 3, groups=[1, 1, 2]) == (
        "folds: expected at most 2, the number of groups, got 3. Use fewer folds."
    )
    assert _sentence(DataError, make_folds, [0, 0, 0], 3, groups=[1, 1]) == (
        "groups: expected one value per row [3], got an array [2]."
    )
    assert _sentence(DataError, make_folds, [0, 0, 1, 1], 2, groups=[7, 7, 8, 8], class_names=["x", "y"]) == (
        "folds: class 'x': expected rows in at least 2 folds, got all in fold 1. "
        "Use fewer folds or smaller groups, or correct the fold column."
    )


def test_own_folds() -> None:
    check_folds([3, 3, 8, 8], [0, 1, 0, 1], groups=["a", "a", "b", "b"])
    assert _sentence(DataError, check_folds, [0, 0, 1, 1], [0, 1, 0, 0]) == (
        "folds: class '1': expected rows in at least 2 folds, got all in fold 0. "
        "Correct the fold column, or leave it out."
    )
    assert _sentence(DataError, check_folds, [0, 1, 0, 1], [0, 0, 1, 1], groups=["a", "a", "b", "c"]) == (
        "folds: expected each group in one fold, got several for 'a'. "
        "Correct the fold column, or leave it out."
    )
    assert _sentence(DataError, check_folds, [0, 0], [0, 0]) == (
        "folds: expected at least 2, got 1. Correct the fold column, or leave it out."
    )
    assert _sentence(DataError, check_folds, [0, -1], [0, 0]) == (
        "folds: expected whole numbers from 0, got '-1'."
    )
    assert _sentence(DataError, check_folds, [0, 1, 2], [0, 0]) == (
        "folds: expected one value per row [2], got an array [3]."
    )


@given(st.integers(0, 1000), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_where_few_rows_share_a_group_rows_are_dealt_and_the_others_follow(seed: int, shared: int) -> None:
    labels = np.arange(120) % 3
    groups = np.arange(120)
    groups[60 : 60 + shared] = groups[:shared]
    first = first_in_group(groups)
    assert first is not None and np.array_equal(first, groups)
    folds = make_folds(labels, 4, groups=groups, seed=seed)
    assert np.array_equal(folds, folds[first])
    alone = np.flatnonzero(first == np.arange(120))
    assert np.array_equal(folds[alone], make_folds(labels[alone], 4, seed=seed))


def test_where_many_rows_share_a_group_the_groups_are_dealt() -> None:
    assert first_in_group(np.arange(40) // 2) is None
    assert first_in_group(np.array(["a", "b", "a", *map(str, range(17))])).tolist() == [
        0,
        1,
        0,
        *range(3, 20),
    ]


def test_a_class_whose_rows_follow_those_of_another_is_dealt_by_groups() -> None:
    """One image with two labels, which is the only image of the second."""
    labels = np.array([0, 1] * 30 + [2, 2, 2])
    groups = np.array([*range(60), 0, 7, 20])
    folds = make_folds(labels, 3, groups=groups)
    assert all(folds[60 + row] == folds[group] for row, group in enumerate(groups[60:]))
    assert len(set(folds[60:].tolist())) > 1


@given(st.integers(0, 1000), st.lists(st.integers(1, 4), min_size=1, max_size=5), st.booleans())
@settings(max_examples=25, deadline=None)
def test_rare_classes_are_spread_and_the_others_stay_stratified(
    seed: int, counts: list[int], grouped: bool
) -> None:
    labels = np.concatenate([np.repeat([0, 1], [60, 40]), np.repeat(np.arange(2, 2 + len(counts)), counts)])
    groups = np.arange(len(labels)) if grouped else None
    folds = make_folds(labels, 5, groups=groups, seed=seed, rare=True)
    for label, count in ((0, 60), (1, 40)):
        in_fold = np.bincount(folds[labels == label], minlength=5)
        assert np.abs(in_fold - count / 5).max() <= 2
    for label, count in enumerate(counts, start=2):
        assert len(set(folds[labels == label].tolist())) == count
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() <= 2 + len(counts)


def test_folds_of_many_small_classes_and_of_few_rows() -> None:
    assert np.bincount(make_folds(np.arange(20) // 2, 5, rare=True)).tolist() == [4] * 5
    assert _sentence(DataError, make_folds, [0, 0, 1], 5, rare=True) == (
        "folds: expected at least 5 rows, got 3. Use fewer folds."
    )


def test_classes_in_one_fold_are_named_where_they_are_accepted(caplog) -> None:
    labels, folds = [0, 0, 0, 1, 1, 1, 2, 3, 3], [0, 1, 2, 0, 1, 2, 1, 0, 0]
    check_folds(folds, labels, class_names=["a", "b", "c", "d"], rare=True)
    assert caplog.messages == [
        "All rows of 'c', 'd' are in one fold: what is fitted for that fold has not seen the class"
    ]
    assert _sentence(DataError, check_folds, folds, labels, class_names=["a", "b", "c", "d"]) == (
        "folds: class 'c': expected rows in at least 2 folds, got all in fold 1. "
        "Correct the fold column, or leave it out."
    )
    sorted_labels = np.repeat([0, 1], 5)
    assert _sentence(DataError, check_folds, sorted_labels, sorted_labels, rare=True) == (
        "folds: class '0': expected rows in at least 2 folds, got all in fold 0. "
        "Correct the fold column, or leave it out."
    )
