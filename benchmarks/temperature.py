"""Fit of a temperature, compared with netcal's TemperatureScaling: 50,000 rows of 100 classes.

netcal receives float64 probabilities, because its L-BFGS does not move from its start with float32.
`committee` is timed from float64 logits, which are converted first, and from float32 logits. Both must find
the same temperature to 0.1%. One thread.
"""

from __future__ import annotations

import numpy as np
from harness import Row, absent, compare, installed, main
from numpy.typing import NDArray

from committee.solvers.newton import best_temperature
from metrics import draw

QUESTION, PEER, TARGET = "temperature", "netcal TemperatureScaling, float64", 20


def theirs(probs: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return netcal's temperature."""
    from netcal.scaling import TemperatureScaling

    return 1 / float(TemperatureScaling().fit(probs, labels).temperature[0])


def measure(quick: bool) -> list[Row]:
    """Compare from float64 and from float32."""
    rows, rounds = (2000, 2) if quick else (50_000, 7)
    log_probs, labels = draw(rows, 100)
    # Overconfident, like most networks.
    sharp = (2.5 * log_probs).astype(np.float64)
    probs = np.exp(sharp)
    probs /= probs.sum(axis=1, keepdims=True)
    answers = []
    for dtype in (np.float64, np.float32):
        logits, work = sharp.astype(dtype), f"{rows:,} x 100 from {np.dtype(dtype).name}, 1 thread"

        def ours(logits: NDArray[np.floating] = logits) -> float:
            return best_temperature(logits.astype(np.float32, copy=False), labels)

        if not installed("netcal"):
            answers.append(absent(QUESTION, work, PEER, TARGET, "netcal"))
            continue
        found, other = ours(), theirs(probs, labels)
        if abs(found / other - 1) > 1e-3:
            raise SystemExit(f"temperature {found:.5f}, netcal's is {other:.5f}")
        note = f"temperature {found:.5f}, netcal's {other:.5f}"
        compared = compare(ours, lambda: theirs(probs, labels), rounds)
        answers.append(Row(QUESTION, work, PEER, *compared, TARGET, note))
    return answers


if __name__ == "__main__":
    main(measure, packages=("netcal",))
