"""Data that cannot be trained on is an error before training, and in a dry run."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from committee.errors import DataError
from committee.images.dataset import open_dataset, preview_dataset
from committee.images.splits import hold_out

HEADER = ["path", "label", "fold", "group", "split"]
OWN = "Correct the fold column, or leave it out."


def cells(label="", fold="", group="", split=""):
    """Return a row of a table from functions of its number; rows without a group are groups of their own."""

    def row(number: int) -> list[object]:
        each = (label, fold, group, split)
        return [f"images/{number}.png", *(make(number) if callable(make) else make for make in each)]

    return row


def odd(number: int) -> str:
    return "odd" if number % 2 else "even"


LIES = {
    "a class smaller than the folds": (
        cells(lambda n: "rare" if n < 4 else odd(n), group=lambda n: n),
        "folds: expected at most 3, the number of training samples of class 'rare', got 4. "
        "Use 3 folds, or add samples.",
    ),
    "a class in test alone": (
        cells(lambda n: "rare" if n < 2 else odd(n), group=lambda n: n, split=lambda n: "test" * (n < 2)),
        "training rows: expected rows of every class, got none of 'rare'. "
        "Add some, or remove the class from the val and test splits.",
    ),
    "a class in one group": (
        cells(lambda n: "rare" if n < 6 else odd(n), group=lambda n: max(n, 6)),
        "groups: expected at least 2 groups in every class, so that one can be held out, "
        "got 1 in 'rare' (copies of an image are one group). "
        "Add samples, provide splits and folds, or leave the class out.",
    ),
    "a group in two splits": (
        cells(odd, group=lambda n: f"g{n // 2}", split=lambda n: "test" * (n > 20)),
        "groups: expected each group in one split, got 'g10' in several. "
        "Move the rows of a group to one split.",
    ),
    "a group in two folds": (
        cells(odd, lambda n: n // 3 % 2, lambda n: f"g{n // 2}", lambda n: "test" * (n > 19)),
        "folds: expected each group in one fold, got several for 'g1', 'g4', 'g7'. " + OWN,
    ),
    "a fold without a class in its training rows": (
        cells(lambda n: "rare" if n < 3 else odd(n), lambda n: "ab"[n > 8], "", lambda n: "test" * (n > 19)),
        "folds: class 'rare': expected rows in at least 2 folds, got all in fold 0. " + OWN,
    ),
    "a training row without a fold": (
        cells(odd, lambda n: "" if n == 7 else n % 3, split=lambda n: "test" * (n > 19)),
        "fold column: expected a fold for each training row, got none for 'images/7.png'. "
        "Complete the column, or leave it out.",
    ),
    "one fold": (
        cells(odd, "7", split=lambda n: "test" * (n > 19)),
        "folds: expected at least 2, got 1. " + OWN,
    ),
}


@pytest.mark.parametrize("look", ["run", "dry run"])
@pytest.mark.parametrize("lie", LIES)
def test_named_before_training(make_table, settings, store, lie, look):
    row, sentence = LIES[lie]
    used = [n for n, name in enumerate(HEADER) if len({str(row(k)[n]) for k in range(24)}) > 1 or row(0)[n]]
    table = make_table([HEADER[n] for n in used], lambda k: [row(k)[n] for n in used])
    open_it = partial(open_dataset, img_sizes=[6]) if look == "run" else preview_dataset
    with pytest.raises(DataError) as caught:
        open_it(settings(table), store, folds=4, seed=3)
    assert str(caught.value) == sentence


def test_a_held_out_share_keeps_few_groups_whole_and_goes_by_id():
    labels, groups = np.arange(200) % 2, np.arange(200)
    groups[100:104] = groups[:4]
    ids = np.array([f"image {row}" for row in range(200)])
    held = hold_out(ids, labels, np.ones(200, bool), groups, 0.25, 7)
    assert np.array_equal(held, held[groups]) and abs(held.sum() - 50) <= 4
    alone = hold_out(ids, labels, np.arange(200) == groups, None, 0.25, 7)
    assert np.array_equal(alone[groups], held)
