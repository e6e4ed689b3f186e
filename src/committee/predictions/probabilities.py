"""The entrance of scores: what is accepted as probabilities, and as logits.

Rows of probabilities sum to 1, to 100 (percentages), or to 1 within what rounding to a few digits explains.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import DataError, first_five
from committee.predictions.blocks import blocks_of
from committee.predictions.names import class_numbers

log = logging.getLogger(__name__)

SUM_TOLERANCE = 1e-3
FLOOR = 1e-6
"""Smallest probability of a member that has exact zeros."""
SMALLEST = float(np.finfo(np.float32).tiny)
"""Smallest probability of which the logarithm is taken."""
_MOST = 0.5
"""Largest distance of a sum from 1 that is ascribed to rounding."""


def log_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithms of probabilities; those of zeros are finite, about -87."""
    return np.log(np.maximum(probabilities, np.float32(SMALLEST)))


def log_probabilities(
    probabilities: NDArray[np.float32], members: Sequence[str], sample_ids: ArrayLike | None, who: str
) -> NDArray[np.float32]:
    """Return logarithms of probabilities `[M, N, C, ...]`, up to a constant of each row.

    Exact zeros say that a member cannot tell how improbable a class is: its probabilities below 1e-6 are read
    as 1e-6, and the log names it. Without this rule, one zero would decide an average of logarithms. Other
    members keep all probabilities, however small.

    Raises
    ------
    DataError
        A number is negative or not finite, or a row does not sum to 1.
    """
    ids = np.arange(probabilities.shape[1]) if sample_ids is None else np.asarray(sample_ids)
    floors = []
    for name, member in zip(members, probabilities, strict=True):
        scale = _percent(member, f"{who}: {name}" if len(members) > 1 else who)
        _check_sums(member * scale if scale != 1 else member, ids, who)
        floors.append(_floor(member, name, scale))
    if (kept := blocks_of(probabilities)) is not None:
        return cast("NDArray[np.float32]", kept.in_logs(floors))
    logs = np.empty_like(probabilities)
    for place, floor in enumerate(floors):
        np.maximum(probabilities[place], floor, out=logs[place])
    return np.log(logs, out=logs)


def check_logits(logits: NDArray[np.float32], who: str) -> None:
    """Raise a DataError if the logits `[M, N, C, ...]` of a member are probabilities.

    They are if all are from 0 to 1, not only 0 and 1 and not all equal, and each row sums to 1.
    """
    for place in range(len(logits)):
        first = logits[place, :1]
        if not (first.min() >= 0 and first.max() <= 1):
            continue
        member = logits[place]
        inside = member.min() >= 0 and member.max() <= 1
        if inside and (np.abs(member.sum(axis=1) - 1) <= SUM_TOLERANCE).all() and _is_varied(member):
            raise DataError(
                who,
                expected="logits",
                got=f"probabilities: each of the {len(member)} rows is from 0 to 1 and sums to 1",
                todo="Give them as probabilities (probs in NPZ and safetensors, --values-are probabilities, "
                "Predictions.from_probabilities); if they are logits, subtract 1 from all of them, "
                "which changes nothing else, or say --values-are logits.",
            )


def two_columns(
    values: NDArray[np.floating], classes: Sequence[str] | None, are_probabilities: bool, who: str
) -> tuple[NDArray[np.floating], list[str]]:
    """Return scores `[N, 2]` and class names for one score `[N, 1]` of each row, that of the class 1.

    Raises
    ------
    DataError
        The one column is that of the class 0, or a probability is not from 0 to 1.
    """
    if classes is not None and class_numbers(classes) == [0]:
        raise DataError(
            who,
            expected="a column for each class, or one for the class 1",
            got=f"the column '{classes[0]}' alone",
            todo="If it is the probability of the class 1, rename it p1; otherwise add the column p1.",
        )
    score = np.asarray(values, np.float64)[:, 0]
    log.info("%s: one score of each row is read as that of the class 1, beside 0", who)
    if not are_probabilities:
        return np.stack([np.zeros_like(score), score], axis=1), ["0", "1"]
    if 1.5 < score.max() <= 100 and score.min() >= 0:
        log.info("%s: scores from 0 to 100 are read as percentages", who)
        score = score / 100
    wrong = ~((score >= 0) & (score <= 1))
    if wrong.any():
        raise DataError(
            who,
            expected="one probability of each row, from 0 to 1",
            got=f"{score[wrong][0]:.4g} in {wrong.sum()} rows",
            todo="Say that they are logits: --values-are logits.",
        )
    return np.stack([1 - score, score], axis=1), ["0", "1"]


def _floor(member: NDArray[np.float32], name: str, scale: float) -> float:
    """Return the smallest probability of a member that is taken as it is, in its unit."""
    zeros = member.size - np.count_nonzero(member)
    if not zeros:
        return SMALLEST
    log.info(
        "%s: %d of %d probabilities are exactly 0: those below %g are read as %g",
        *(name, zeros, member.size, FLOOR, FLOOR),
    )
    return FLOOR / scale


def _is_varied(member: NDArray[np.float32]) -> bool:
    return bool(np.any((member != 0) & (member != 1)) and member.max() - member.min() > 1e-5)


def _percent(member: NDArray[np.float32], who: str) -> float:
    """Return 0.01 if all rows are percentages, else 1."""
    sums = member.sum(axis=1)
    if not (np.abs(sums - 100) < 50).all() or member.min() < 0:
        return 1.0
    if not (np.abs(sums / 100 - 1) <= _tolerance(member / 100)).all():
        return 1.0
    log.info("%s: rows sum to 100: they are read as percentages", who)
    return 0.01


def _check_sums(member: NDArray[np.float32], ids: NDArray[np.generic], who: str) -> None:
    sums = member.sum(axis=1)
    wrong = ~(np.abs(sums - 1) <= SUM_TOLERANCE)  # negated so that NaN is wrong
    if wrong.any() and np.isfinite(sums).all() and member.min() >= 0:
        wrong = np.abs(sums - 1) > _tolerance(member)
        if not wrong.any():
            log.info("%s: rows sum to %.3f to %.3f, as rounded probabilities do", who, sums.min(), sums.max())
    if member.min() < 0:
        wrong |= member.min(axis=1) < 0
    rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
    if len(rows):
        row = member[rows[0]]
        fault = f"a sum of {sums[rows[0]].flat[0]:.4g}" if row.min() >= 0 else f"{row.min():.4g}"
        raise DataError(
            who,
            expected="non-negative probabilities that sum to 1",
            got=f"{fault} in the first of {len(rows)} invalid rows, {first_five(ids[rows])}",
            todo="Give unnormalized scores as logits: --values-are logits, or Predictions.from_logits.",
        )


def _tolerance(member: NDArray[np.floating]) -> float:
    """Return how far sums may be from 1: half a unit of the last digit for each class, at most 0.5."""
    classes = member.shape[1]
    for digits in range(1, 6):
        scaled = member.astype(np.float64) * 10**digits
        if np.abs(scaled - np.round(scaled)).max() < 2e-7 * 10**digits:
            return float(np.clip(classes * 0.5 * 10.0**-digits, SUM_TOLERANCE, _MOST))
    return SUM_TOLERANCE
