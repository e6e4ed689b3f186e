"""Simulated ensembles: ten structures that the members of real ensembles have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.predictions.table import Predictions

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """Members whose logits are a signal at the label plus normal noise, part of which members share.

    Attributes
    ----------
    strength : float array [M, C]
        Signal of each member on rows of each class.
    shared : float array [M]
        Share of the variance of the noise of each member that comes from its block.
    block : int array [M]
        Members of the same block share noise.
    scale : float array [M]
        Factor of the logits: above 1, a member is more confident than it was.
    prior : float array [C]
        Share of each class.
    """

    strength: Floats
    shared: Floats
    block: NDArray[np.int64]
    scale: Floats
    prior: Floats

    def draw(self, rows: int, random: np.random.Generator, least: int = 0) -> Predictions:
        """Return labeled predictions of new rows, at least `least` of each class."""
        members, classes = self.strength.shape
        labels = random.choice(classes, rows, p=self.prior)
        for label in range(classes):
            missing = max(0, least - int((labels == label).sum()))
            common = np.flatnonzero(labels == np.bincount(labels).argmax())
            labels[common[:missing]] = label
        shared = random.standard_normal((self.block.max() + 1, rows, classes), np.float32)
        logits = np.empty((members, rows, classes), np.float32)
        for member in range(members):
            own = random.standard_normal((rows, classes), np.float32)
            part = np.float32(self.shared[member])
            logits[member] = np.sqrt(part) * shared[self.block[member]] + np.sqrt(1 - part) * own
            logits[member, np.arange(rows), labels] += self.strength[member, labels].astype(np.float32)
            # With equal strengths, the log-likelihood of a class is its signal times its logit.
            logits[member] *= np.float32(self.scale[member] * max(self.strength[member].mean(), 0.3))
        return Predictions.from_logits(
            logits,
            members=[f"member{place:02d}" for place in range(members)],
            class_names=[f"class{place:02d}" for place in range(classes)],
            labels=labels,
        )


def problem(
    strength: ArrayLike,
    *,
    shared: ArrayLike = 0.7,
    block: ArrayLike = 0,
    scale: ArrayLike = 1.0,
    classes: int = 4,
    prior: ArrayLike | None = None,
) -> Problem:
    """Return a problem; numbers count for all members and classes."""
    signal = np.asarray(strength, float)
    if signal.ndim == 1:
        signal = np.repeat(signal[:, None], classes, axis=1)
    members, classes = signal.shape
    shares = np.full(classes, 1 / classes) if prior is None else np.asarray(prior, float)
    blocks = np.broadcast_to(np.asarray(block, np.int64), members)
    each = [np.broadcast_to(np.asarray(value, float), members) for value in (shared, scale)]
    return Problem(signal, each[0], blocks, each[1], shares)


def specialized(random: np.random.Generator) -> Problem:
    """Return members that each recognize two of six classes well."""
    signal = np.full((6, 6), 0.9)
    for member in range(6):
        signal[member, [member, (member + 1) % 6]] = 3.0
    return problem(signal + random.uniform(-0.1, 0.1, signal.shape))


def several(strengths: ArrayLike, random: np.random.Generator) -> Floats:
    """Return strengths that differ a little between two data sets."""
    return np.asarray(strengths, float) * random.uniform(0.9, 1.1, len(np.asarray(strengths)))


STRUCTURES: dict[str, Callable[[np.random.Generator], Problem]] = {
    "equal members": lambda random: problem([1.5] * 6),
    "one dominates": lambda random: problem(several([2.8, 1, 1, 1, 1, 1], random)),
    "specialized by class": specialized,
    "miscalibrated": lambda random: problem(several([1.5] * 6, random), scale=[4, 0.25, 1, 1, 1, 1]),
    "correlated blocks": lambda random: problem(
        several([1.5] * 8, random), shared=[0.9] * 6 + [0.1] * 2, block=[0] * 6 + [1, 2]
    ),
    "many useless members": lambda random: problem(several([1.8] * 4 + [0.05] * 16, random)),
    "few rows": lambda random: problem(several([2, 1.6, 1.6, 1.2, 1.2], random)),
    "many classes": lambda random: problem(several([2.5, 2.2, 2, 1.8], random), classes=20),
    "near chance": lambda random: problem(several([0.35] * 6, random)),
    "rare classes": lambda random: problem(
        several([2, 1.8, 1.6, 1.4], random), prior=[0.55, 0.3, 0.1, 0.03, 0.02], classes=5
    ),
}


def sizes(structure: str) -> tuple[int, int]:
    """Return the two numbers of rows of a structure."""
    return {"few rows": (60, 120), "many classes": (600, 1500)}.get(structure, (300, 1500))
