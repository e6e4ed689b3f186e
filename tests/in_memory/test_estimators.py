"""Ensembles as estimators of scikit-learn: its own checks, and its tools around them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from committee import EnsembleClassifier, EnsembleRegressor
from committee.errors import CommitteeError

pytestmark = pytest.mark.slow

IRIS = load_iris(return_X_y=True)
FEW = {"n": 2, "epochs": 4, "lr": 0.05, "together": "none"}
EXPECTED = {
    "check_array_api_input": "It is skipped without a setting of scipy's.",
    "check_methods_subset_invariance": "Products in float32 depend on the number of rows, by more than 1e-7.",
    "check_sample_weight_equivalence_on_dense_data": "Batches of repeated rows are others.",
    "check_methods_sample_order_invariance": "For the same reason.",
}
"""Checks that may not pass, and why."""


def small(features, outputs):
    return nn.Sequential(nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, outputs))


@pytest.mark.parametrize(("kind", "epochs"), [(EnsembleClassifier, 4), (EnsembleRegressor, 8)])
def test_the_checks_of_scikit_learn(kind, epochs) -> None:
    fast = {"batch_size": 100, "epochs": epochs, "lr": 0.1, "settings": {"warmup_epochs": 0}}
    found = check_estimator(kind(n=1, together="none", **fast), on_fail=None, on_skip=None)
    names = {each["check_name"] for each in found if each["status"] in ("failed", "skipped")}
    assert len(found) > 40 and names <= EXPECTED.keys()


def test_pipelines_searches_and_cross_validation() -> None:
    made = make_pipeline(StandardScaler(), EnsembleClassifier(small, **FEW))
    held_out = cross_val_predict(made, *IRIS, cv=3, method="predict_proba")
    assert held_out.shape == (150, 3) and (held_out.argmax(1) == IRIS[1]).mean() > 0.8
    search = GridSearchCV(made, {"ensembleclassifier__n": [1, 2]}, cv=2).fit(*IRIS)
    assert search.best_score_ > 0.6
    assert clone(made[1]).get_params() == made[1].get_params()


@pytest.mark.parametrize("stops", [None, {"patience": 2}])
def test_a_combiner_that_learns_is_fitted_on_rows_of_its_own(stops) -> None:
    names = np.array(["setosa", "versicolor", "virginica"])[IRIS[1]]
    found = EnsembleClassifier(small, combiner="weighted", early_stop=stops, **FEW).fit(IRIS[0], names)
    rows = found.predictions_
    assert len(rows) == (15 if stops else 30) and rows.members == ("member_1", "member_2")
    assert found.ensemble_.combiner.key == "weighted" and found.combiner == "weighted"
    assert found.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert set(found.predict(IRIS[0])) <= set(names)
    assert EnsembleClassifier(small, **FEW).fit(*IRIS).predictions_ is None


def test_whole_numbers_that_are_no_positions() -> None:
    found = EnsembleClassifier(small, combiner="weighted", **FEW).fit(IRIS[0], 10 - IRIS[1])
    assert found.classes_.tolist() == [8, 9, 10] and found.score(IRIS[0], 10 - IRIS[1]) > 0.6


def test_rows_of_weight_zero_serve_no_purpose() -> None:
    wrong = np.arange(150) % 5 == 0
    labels = np.where(wrong, (IRIS[1] + 1) % 3, IRIS[1])
    made = EnsembleClassifier(small, combiner="weighted", **FEW)
    found = made.fit(IRIS[0], labels, sample_weight=1.0 - wrong).predict_proba(IRIS[0])
    others = made.fit(IRIS[0][~wrong], labels[~wrong], sample_weight=np.ones(120)).predict_proba(IRIS[0])
    np.testing.assert_array_equal(found, others)


def test_images_of_tensors() -> None:
    images = torch.randint(0, 256, (60, 1, 8, 8), dtype=torch.uint8)
    labels = (images.float().mean((1, 2, 3)) > 127).long()
    found = EnsembleClassifier(**FEW).fit(images, labels)
    assert found.predict_proba(images).shape == (60, 2)
    assert found.ensemble_.members[0].network.net[1].in_features == 64


def test_numbers_of_one_and_of_several_targets() -> None:
    X, y = load_diabetes(return_X_y=True)
    found = EnsembleRegressor(small, **{**FEW, "epochs": 10}).fit(X, y)
    assert found.score(X, y) > 0.3 and found.predict(X).shape == (len(y),)
    both = EnsembleRegressor(small, **FEW).fit(X, np.stack([y, -y], 1))
    assert both.predict(X[:5]).shape == (5, 2)
    assert found.ensemble_.predict_distribution(X).epistemic.shape == (len(y), 1)


def test_settings_reach_the_fits() -> None:
    with pytest.raises(CommitteeError, match="optimizer: expected one of adamw, sgd"):
        EnsembleClassifier(small, settings={"optimizer": "adam"}).fit(*IRIS)
    with pytest.raises(CommitteeError, match="validation_fraction: expected at least 0 and below 1, got 1"):
        EnsembleClassifier(small, combiner="weighted", validation_fraction=1.0).fit(*IRIS)


def test_one_hot_classes_and_missing_ones_are_named(caplog) -> None:
    shares = np.eye(3)[IRIS[1]]
    with pytest.raises(
        CommitteeError, match=r"^EnsembleClassifier: y: .*, got an array \[150, 3\]\. Give the cl"
    ):
        EnsembleClassifier(small, **FEW).fit(IRIS[0], shares)
    with pytest.raises(
        CommitteeError, match=r"^EnsembleClassifier: y: expected a label for each row, got None"
    ):
        EnsembleClassifier(small, **FEW).fit(IRIS[0], np.array(["a", None, "b"], object)[IRIS[1]])
    with pytest.raises(
        CommitteeError, match=r"^EnsembleClassifier: expected rows to set aside .*, got 0 of 2\."
    ):
        EnsembleClassifier(small, combiner="weighted", **FEW).fit(IRIS[0][:2], [0, 1])
    EnsembleRegressor(small, **FEW).fit(IRIS[0], shares)
    assert caplog.messages[0].startswith("EnsembleRegressor: the rows of y sum to 1, as one-hot classes do")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"settings": {"epochs": 2}},
            "settings: expected no parameter of the estimator, got 'epochs'. Give epochs to Ensemble",
        ),
        (
            {"settings": {"seed": 2}},
            "settings: expected no parameter of the estimator, got 'seed'. Give random_state to EnsembleCla",
        ),
        ({"early_stop": 5}, "early_stop: expected "),
        ({"n": "3"}, "n: expected a whole number, got '3'."),
    ],
)
def test_parameters_that_cannot_be_used_are_named(parameters, message) -> None:
    with pytest.raises(CommitteeError) as caught:
        EnsembleClassifier(**{"n": 2, **parameters}).fit(*IRIS)
    assert str(caught.value).startswith(message)
