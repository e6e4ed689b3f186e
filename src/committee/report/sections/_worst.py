"""The rows that a model predicts worst: those of galleries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from committee.errors import printable
from committee.report.facts import Outputs
from committee.report.sections._cards import LISTED


@dataclass(frozen=True)
class Worst:
    """The rows with the largest losses, of which classes are wrong.

    Attributes
    ----------
    places : list of int
        The rows, worst first.
    words : list of (str, str)
        Label and prediction of each.
    shares : list of str
        Probability of the label of each, where classes are predicted.
    count : int
        Number of all rows that are wrong.
    are_wrong : bool
        Whether rows can be wrong: classes are predicted, and not numbers.
    """

    places: list[int]
    words: list[tuple[str, str]]
    shares: list[str]
    count: int
    are_wrong: bool


def worst_rows(found: Outputs) -> Worst:
    """Return the rows that a model predicts worst."""
    task, labels, names = found.task, found.labels, found.rows.class_names
    values = task.values(found.values)
    losses = task.row_losses(np.asarray(found.values if values is None else values, np.float32), labels)
    risk = task.risk(found.values, labels)
    wrong = np.arange(len(labels)) if risk is None else np.flatnonzero(~risk.correct)
    places = wrong[np.argsort(-losses[wrong], kind="stable")][:LISTED]
    truth = map(printable, task.labels_in_words(labels[places], names))
    guess = map(printable, task.described(found.values[places], names))
    shares = [f"{share:.2g}" for share in np.exp(-losses[places]).tolist()]
    pairs = list(zip(truth, guess, strict=True))
    return Worst(places.tolist(), pairs, shares, len(wrong), risk is not None)
