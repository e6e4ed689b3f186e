"""Out-of-fold predictions of four models, of digits and of numbers, for all tests of combiners."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from committee.predictions.table import Predictions


@pytest.fixture(scope="session")
def digits() -> Predictions:
    """Four members (not in the order of their names), 900 rows, 10 classes."""
    images, labels = load_digits(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(labels))[:900]
    images, labels = images[rows] / 16, labels[rows]
    models = {
        "tree": DecisionTreeClassifier(max_depth=8, random_state=0),
        "bayes": GaussianNB(var_smoothing=1e-2),
        "near": KNeighborsClassifier(5),
        "linear": LogisticRegression(C=0.05),
    }
    splits = StratifiedKFold(5, shuffle=True, random_state=1)
    probs = [cross_val_predict(m, images, labels, cv=splits, method="predict_proba") for m in models.values()]
    return Predictions.from_probabilities(
        np.stack(probs) * 0.97 + 0.003,
        members=list(models),
        class_names=[f"digit {c}" for c in range(10)],
        sample_ids=[f"scan{row}" for row in rows],
        labels=labels,
    )


@pytest.fixture(scope="session")
def numbers() -> Predictions:
    """Four members (not in the order of their names), 300 rows, two targets with units of their own."""
    measured, progression = load_diabetes(return_X_y=True)
    features, targets = np.delete(measured, 3, axis=1), np.column_stack([progression, measured[:, 3]])
    rows = np.random.default_rng(0).permutation(len(features))[:300]
    models = {
        "tree": DecisionTreeRegressor(max_depth=4, random_state=0),
        "bayes": Ridge(0.3),
        "near": KNeighborsRegressor(15),
        "linear": LinearRegression(),
    }
    found = [cross_val_predict(model, features[rows], targets[rows], cv=5) for model in models.values()]
    return Predictions.from_values(
        np.stack(found),
        members=list(models),
        target_names=["progression", "pressure"],
        sample_ids=[f"scan{row}" for row in rows],
        labels=targets[rows],
    )
