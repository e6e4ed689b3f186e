"""Compositions and subsets of combiners."""

from __future__ import annotations

import numpy as np
import pytest

from committee.combiners.base import build
from committee.combiners.compose import Compose
from committee.combiners.soft_voting import SoftVoting
from committee.combiners.subset import Subset
from committee.combiners.weighted import Weighted
from committee.errors import UnknownNameError, UsageError
from committee.solvers.cross_fit import cross_fit, redraw_folds


def test_mean_of_means_is_a_weighted_mean(digits):
    nested = Compose(
        {
            "trees": {"combiner": "subset", "members": ["tree"]},
            "rest": {"combiner": "subset", "members": ["near", "linear", "bayes"]},
        }
    ).fit(digits)
    flat = Weighted(weights={"tree": 3, "near": 1, "linear": 1, "bayes": 1}).fit(digits)
    np.testing.assert_allclose(nested.combine(digits.logits), flat.combine(digits.logits), atol=1e-5)
    assert nested.member_weights() == pytest.approx(flat.member_weights())


def test_final_is_fitted_on_cross_fitted_inputs(digits):
    inputs = {"w": "weighted", "s": {"combiner": "stacking_lr", "C": 0.1}}
    fitted = Compose(inputs, "weighted", seed=3).fit(digits)
    folds = redraw_folds(digits, 3)
    outputs = np.stack([cross_fit(build(spec), digits, folds) for spec in inputs.values()])
    second = type(digits).from_logits(
        outputs, members=list(inputs), class_names=digits.class_names, labels=digits.labels
    )
    assert fitted.final.member_weights() == Weighted().fit(second).member_weights()
    assert fitted.inputs["w"].member_weights() == Weighted().fit(digits).member_weights()
    assert fitted.member_weights() is None
    assert set(fitted.notes()["inputs"]) == {"w", "s"}


def test_learns_when_a_part_does():
    assert not Compose({"a": "soft_voting"}).learns
    assert Compose({"a": "weighted"}).learns and Compose({"a": "soft_voting"}, "weighted").learns
    assert not Subset(["a"]).learns and Subset(["a"], "weighted").learns
    assert Subset(["a"], {"combiner": "weighted", "weights": [1]}).learns is False


def test_nothing_to_compose():
    with pytest.raises(UsageError) as error:
        Compose({})
    assert str(error.value) == "compose: expected at least one input, got none."


def test_groups_stay_together_in_inner_folds(digits):
    groups = np.arange(900) // 3
    part = type(digits).from_logits(
        digits.logits,
        members=digits.members,
        class_names=digits.class_names,
        labels=digits.labels,
        groups=groups,
    )
    folds = redraw_folds(part)
    assert all(len(np.unique(folds[groups == group])) == 1 for group in range(300))


def test_a_rare_class_does_not_change_the_folds_of_the_others(digits):
    labels = np.zeros(900, int)
    labels[0] = 1
    rare = type(digits).from_logits(
        digits.logits, members=digits.members, class_names=digits.class_names, labels=labels
    )
    assert np.bincount(redraw_folds(rare)).tolist() == [180] * 5
    assert np.isfinite(build("temperature").fit(rare).combine(rare.logits)).all()


def test_subset_hears_the_named_alone(digits):
    fitted = Subset(["near", "tree"]).fit(digits)
    expected = SoftVoting().combine(digits.select(["near", "tree"]).logits)
    np.testing.assert_allclose(fitted.combine(digits.logits), expected, atol=1e-6)
    assert fitted.member_weights() == {"tree": 0.5, "bayes": 0, "near": 0.5, "linear": 0}


def test_subset_of_a_member_that_is_not_there(digits):
    with pytest.raises(UnknownNameError) as error:
        Subset(["nera"]).fit(digits)
    assert str(error.value) == (
        "subset: expected members among tree, bayes, near, linear, got 'nera'. Did you mean 'near'?"
    )
