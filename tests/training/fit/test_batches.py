import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from committee.training.fit.batches import class_weights, epoch_batches, inner_slice


@given(st.integers(1, 200), st.integers(1, 64), st.integers(0, 5))
def test_shuffled_batches_hold_each_row_once_and_are_of_nearly_one_size(rows, size, seed):
    batches = epoch_batches(np.zeros(rows, np.int64), size, "shuffle", seed)
    assert sorted(np.concatenate(batches)) == list(range(rows))
    lengths = [len(batch) for batch in batches]
    assert max(lengths) <= size and max(lengths) - min(lengths) <= 1


def test_balanced_batches_show_classes_equally_often():
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    drawn = labels[np.concatenate(epoch_batches(labels, 32, "balanced", 0))]
    assert np.bincount(drawn) == pytest.approx([333, 333, 333], abs=60)


def test_an_order_is_of_its_seed():
    labels = np.zeros(50, np.int64)
    one, same, other = (np.concatenate(epoch_batches(labels, 8, "shuffle", seed)) for seed in (1, 1, 2))
    assert (one == same).all() and (one != other).any()


@given(st.lists(st.integers(0, 4), min_size=8, max_size=80), st.floats(0.05, 0.5), st.integers(0, 3))
def test_the_inner_slice_has_every_class_and_leaves_every_class(labels, fraction, seed):
    labels = np.array(labels)
    kept, judged = inner_slice(labels, None, fraction, seed)
    assert sorted([*kept, *judged]) == list(range(len(labels)))
    assert set(labels[kept]) == set(labels)
    often = {label for label in labels if (labels == label).sum() > 1}
    assert set(labels[judged]) == often


def test_the_inner_slice_keeps_groups_whole():
    groups = np.repeat(np.arange(20), 5)
    kept, judged = inner_slice(np.zeros(100, np.int64), groups, 0.2, 0)
    assert len(judged) == 20 and not set(groups[kept]) & set(groups[judged])


def test_one_repeated_row_leaves_the_inner_slice_stratified():
    labels, groups = np.arange(3000) // 3, np.arange(3000)
    groups[1] = 0  # one image occurs twice
    kept, judged = inner_slice(labels, groups, 0.1, 0)
    assert set(labels[kept]) == set(labels[judged]) == set(labels)
    assert not set(groups[kept]) & set(groups[judged])


def test_class_weights_have_mean_one_over_the_rows():
    labels = np.repeat([0, 1, 2], [6, 3, 1])
    assert class_weights(labels, ("a", "b", "c"), "none") is None
    for wanted in ("balanced", {"b": 3.0}):
        weights = class_weights(labels, ("a", "b", "c"), wanted)
        assert weights[labels].mean() == pytest.approx(1)
    balanced = class_weights(labels, ("a", "b", "c"), "balanced")
    assert balanced * [6, 3, 1] == pytest.approx([10 / 3] * 3)
    assert weights[1] / weights[0] == pytest.approx(3)


def test_a_class_without_rows_gets_a_finite_weight():
    assert np.isfinite(class_weights(np.array([0, 0, 2]), ("a", "b", "c"), "balanced")).all()
