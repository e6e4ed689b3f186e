"""Which image a row of foreign predictions belongs to, and which class a column."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from committee.errors import DataError
from committee.pipeline.importing.folds import are_those_of, split_groups
from committee.pipeline.importing.rows import match, orders_of
from committee.predictions.table import Predictions

IDS = ["train/b/2.png", "train/a/1.png", "test/a/3.png", "train/b/4.png"]


def dataset(**changes: Any) -> Any:
    given = {
        "sample_ids": np.array(IDS),
        "labels": np.array([1, 0, 0, 1]),
        "class_names": ("a", "b"),
        "splits": np.array(["train", "train", "test", "train"]),
        "folds": np.array([0, 1, -1, 0]),
        "groups": None,
        "quarantined": {},
        **changes,
    }
    found = SimpleNamespace(**given)
    found.rows = lambda split: np.flatnonzero(found.splits == split)
    return found


def foreign(ids: list[str], labels: list[int] | None, classes: tuple[str, ...] = ("p0", "p1")) -> Predictions:
    logits = np.arange(len(ids) * len(classes), dtype=np.float32).reshape(len(ids), -1)
    return Predictions.from_logits(
        logits, members=["net"], class_names=classes, sample_ids=ids, labels=labels, labels_are="positions"
    )


@pytest.mark.parametrize(
    ("ids", "labels", "rows", "by"),
    [
        (IDS[::-1], [1, 0, 0, 1], [0, 1, 2, 3], "id"),
        (["4.png", "1.png"], [1, 0], [1, 3], "file name"),
        (["x/2", "x/3"], [1, 0], [0, 2], "file name without suffix"),
        (["0", "1", "2", "3"], [1, 0, 0, 1], [0, 1, 2, 3], "row number"),
        (["2", "0", "1"], [1, 1, 0], [0, 1, 3], "row number"),
    ],
)
def test_rows(ids: list[str], labels: list[int], rows: list[int], by: str) -> None:
    found = match(foreign(ids, labels), dataset())
    assert (found.rows.tolist(), found.by, found.classes, found.left_out) == (rows, by, ("a", "b"), 0)


def test_row_numbers_need_labels_that_confirm_them() -> None:
    with pytest.raises(DataError, match=r"expected ids of images such as 'train/b/2\.png'"):
        match(foreign(["0", "1", "2", "3"], None), dataset())
    names = {"sample_ids": np.array(["w", "x", "y", "z"])}
    for labels, changes in (([0, 0, 1, 1], {}), (None, {}), ([1, 0, 0, 1], {"quarantined": {"x": "broken"}})):
        with pytest.raises(DataError) as caught:
            match(foreign(["0", "1", "2", "3"], labels), dataset(**names, **changes))
        assert str(caught.value) == (
            "predictions of 'net': expected ids of images such as 'w', 'x', got '0', '1', '2', '3'. "
            "Write the paths of the images in a column 'id'."
        )


def test_labels_show_the_order_of_the_classes_or_that_rows_are_others() -> None:
    assert match(foreign(IDS, [0, 1, 1, 0]), dataset()).classes == ("b", "a")
    assert match(foreign(IDS, None, ("b", "a")), dataset()).classes == ("b", "a")
    assert match(foreign(IDS, None), dataset()).classes == ()
    with pytest.raises(DataError) as caught:
        match(foreign(IDS, [1, 0, 0, 0], ("a", "b")), dataset())
    assert str(caught.value) == (
        "predictions of 'net': expected the labels of the data set, got others in 1 of 4 rows: "
        "'train/b/4.png' is 'a', in the data set 'b'. Import predictions of the same images and labels."
    )
    assert match(foreign([*IDS, "other.png"], [1, 0, 0, 1, 0]), dataset()).left_out == 1


def test_orders_of_classes() -> None:
    assert orders_of(["cat", "dog"]) == [("cat", "dog")]
    assert orders_of(["1", "2", "10"]) == [("1", "10", "2"), ("1", "2", "10")]


def test_folds_are_compared_by_their_rows() -> None:
    first, second, _, third = IDS
    assert are_those_of(dataset(), {first: 5, second: 3, third: 5})
    assert not are_those_of(dataset(), {first: 5, second: 3, third: 3})
    groups = dataset(groups=np.array([7, 7, 8, 9]))
    assert (
        split_groups(groups, {first: 0, second: 1}) == 1 and split_groups(groups, {first: 0, third: 1}) == 0
    )


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        (
            ("age", "size"),
            [[1.0, 20.0], [4.0, 50.0]],
            "expected the targets of the data set, 'size', 'width', ",
        ),
        (
            ("width", "size"),
            [[20.0, 1.0], [50.0, 4.5]],
            "got others in 1 of 2 rows: 'test/a/3.png' is [50.0, 4.5]",
        ),
        (("width", "size"), [[20.00001, 1.0], [50.0, 4.0]], ""),
    ],
)
def test_columns_of_numbers_are_matched_by_name(names: Any, labels: Any, message: str) -> None:
    data = dataset(
        class_names=("size", "width"), labels=np.array([[0.0, 1.0], [1.0, 20.0], [4.0, 50.0], [0.0, 0.0]])
    )
    given = Predictions.from_values(
        [[[1.0, 2.0], [3.0, 4.0]]], members=["net"], target_names=names, sample_ids=IDS[1:3], labels=labels
    )
    if not message:
        assert match(given, data).classes == names
        return
    with pytest.raises(DataError) as caught:
        match(given, data)
    assert message in str(caught.value)
