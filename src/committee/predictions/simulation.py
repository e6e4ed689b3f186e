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


def simulate_numbers(
    noise: Mapping[str, float], *, rows: int = 300, targets: int = 1, shared: float = 0.0, seed: int = 0
) -> Predictions:
    """Return labeled predictions of numbers by simulated members.

    The true numbers are independent standard normal numbers. The error of a member is normal, with its own
    standard deviation.

    Parameters
    ----------
    noise : mapping of str to float
        Standard deviation of the errors of each member by name; its R2 is about `1 - noise ** 2`.
    rows, targets : int
        Number of samples and of targets.
    shared : float
        Correlation of the errors of any two members, from 0 to 1.
    seed : int
        Seed of the true numbers and of the errors.

    See Also
    --------
    simulate : Predictions of classes.

    Examples
    --------
    The mean of four members with independent errors has half of their error:

    >>> from committee.predictions import simulate_numbers
    >>> from committee.tasks import Regression
    >>> rows = simulate_numbers(dict.fromkeys("abcd", 0.5), rows=1000)
    >>> rows
    Predictions(4 x 1000 x 1, members=('a', 'b', 'c', 'd'), labeled=True)
    >>> one, all_four = rows.logits[0], rows.logits.mean(axis=0)
    >>> [round(Regression().evaluate(each, rows.labels, ["rmse"])["rmse"], 2) for each in (one, all_four)]
    [0.49, 0.25]
    """
    random = np.random.default_rng(seed)
    truth = random.normal(size=(rows, targets))
    common, own = random.normal(size=truth.shape), random.normal(size=(len(noise), *truth.shape))
    sizes = np.array(list(noise.values()))[:, None, None]
    return Predictions.from_values(
        truth + sizes * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own),
        members=list(noise),
        target_names=[f"target {index}" for index in range(targets)],
        labels=truth,
    )
