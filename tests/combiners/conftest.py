"""Out-of-fold predictions of four classifiers on the digits, for all tests of combiners."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

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
