"""Simulated predictions for examples and tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from committee.predictions.table import Predictions


def simulate(
    strength: Mapping[str, float], *, rows: int = 300, classes: int = 3, seed: int = 0
) -> Predictions:
    """Return labeled predictions of simulated members.

    The logits of a member are independent standard normal numbers, plus its strength at the label.

    Parameters
    ----------
    strength : mapping of str to float
        Strength of each member by name; 0 means predictions by chance.
    rows, classes : int
        Number of samples and of classes.
    seed : int
        Seed of labels and logits.

    Examples
    --------
    >>> from committee.predictions import simulate
    >>> rows = simulate({"good": 3.0, "fair": 2.0})
    >>> rows
    Predictions(2 x 300 x 3, members=('good', 'fair'), labeled=True)
    >>> (rows.logits.argmax(axis=2) == rows.labels).mean(axis=1).round(2).tolist()
    [0.96, 0.86]
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    signal = np.array(list(strength.values()))[:, None, None] * np.eye(classes)[labels]
    return Predictions.from_logits(
        random.normal(size=(len(strength), rows, classes)) + signal,
        members=list(strength),
        class_names=[f"class {index}" for index in range(classes)],
        labels=labels,
    )
