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
    """Members whose logits are a signal at the label plus normal noise of variance 1.

    A part of the noise comes from the sample itself, and all members see it: a member with the strength
    `limit` has no other. So the noise of weak members is mostly their own, and no weighted difference of
    members removes the shared part.

    Attributes
    ----------
    strength : float array [M, C]
        Signal of each member on rows of each class.
    limit : float
        Strength of a member that sees all that the sample shows; infinite if members share no noise.
    block : int array [M]
        Members of the same block share the part `within` of their other noise.
    within : float
        Share of the variance.
    scale : float array [M]
        Factor of the logits: above 1, a member is overconfident.
    prior : float array [C]
        Share of each class.
    """

    strength: Floats
    limit: float
    block: NDArray[np.int64]
    within: float
    scale: Floats
    prior: Floats

    def draw(self, rows: int, random: np.random.Generator, least: int = 0) -> Predictions:
        """Return labeled predictions of new rows, at least `least` of each class."""
        members, classes = self.strength.shape
        labels = self._labels(rows, random, least)
        sample = random.standard_normal((rows, classes), np.float32)
        blocks = random.standard_normal((self.block.max() + 1, rows, classes), np.float32)
        logits = np.empty((members, rows, classes), np.float32)
        for member, signal in enumerate(self.strength):
            own = random.standard_normal((rows, classes), np.float32)
            own = self.within**0.5 * blocks[self.block[member]] + (1 - self.within) ** 0.5 * own
            shared = (signal[labels, None] / self.limit) ** 2
            logits[member] = np.sqrt(shared) * sample + np.sqrt(1 - shared) * own
            logits[member, np.arange(rows), labels] += signal[labels]
            # With equal strengths, the log-likelihood of a class is its logit times the strength.
            logits[member] *= self.scale[member] * max(abs(signal.mean()), 0.3)
        return Predictions.from_logits(
            logits,
            members=[f"member{place:02d}" for place in range(members)],
            class_names=[f"class{place:02d}" for place in range(classes)],
            labels=labels,
        )

    def _labels(self, rows: int, random: np.random.Generator, least: int) -> NDArray[np.int64]:
        classes = len(self.prior)
        labels = random.choice(classes, rows, p=self.prior)
        for label in range(classes):
            missing = max(0, least - int((labels == label).sum()))
            common = np.flatnonzero(labels == np.bincount(labels).argmax())
            labels[common[:missing]] = label
        return labels


def problem(
    strength: ArrayLike,
    *,
    classes: int = 4,
    limit: float | None = None,
    block: ArrayLike = 0,
    within: float = 0.0,
    scale: ArrayLike = 1.0,
    prior: ArrayLike | None = None,
) -> Problem:
    """Return a problem; single numbers count for all members and classes, and `limit` is 1.3 of the best."""
    signal = np.asarray(strength, float)
    if signal.ndim == 1:
        signal = np.repeat(signal[:, None], classes, axis=1)
    members, classes = signal.shape
    return Problem(
        signal,
        max(1.3 * float(np.abs(signal).max()), 1.0) if limit is None else limit,
        np.broadcast_to(np.asarray(block, np.int64), members),
        within,
        np.broadcast_to(np.asarray(scale, float), members),
        np.full(classes, 1 / classes) if prior is None else np.asarray(prior, float),
    )


def specialized(random: np.random.Generator) -> Problem:
    """Return members that each recognize two of six classes well."""
    signal = np.full((6, 6), 0.9)
    for member in range(6):
        signal[member, [member, (member + 1) % 6]] = 2.5
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
        several([1.5] * 8, random), within=0.9, block=[0] * 6 + [1, 2]
    ),
    "many useless members": lambda random: problem(several([1.8] * 4 + [0.05] * 16, random)),
    "few rows": lambda random: problem(several([2, 1.6, 1.6, 1.2, 1.2], random)),
    "many classes": lambda random: problem(several([2.5, 2.2, 2, 1.8], random), classes=12),
    "near chance": lambda random: problem(several([0.35] * 6, random)),
    "rare classes": lambda random: problem(
        several([2, 1.8, 1.6, 1.4], random), prior=[0.55, 0.3, 0.1, 0.03, 0.02], classes=5
    ),
}


def sizes(structure: str) -> tuple[int, int]:
    """Return the two numbers of rows of a structure."""
    return {"few rows": (60, 120)}.get(structure, (300, 1000))
