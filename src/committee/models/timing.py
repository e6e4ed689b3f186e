"""Repeated measurements of several models in turns, and the memory of a process. It does not import torch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
MEGABYTE = 1e6
ROUNDS, MOST_ROUNDS = 3, 9
"""Rounds of a measurement, and the largest number if the rounds differ."""
STEADY = 0.1
"""Largest spread of a measurement that is not repeated.

Two members of one architecture, each timed once on a busy machine, took 18.2 and 27.4 ms: a spread of 0.2."""


@dataclass(frozen=True)
class Timing:
    """The latency of a model, from several rounds of calls.

    Attributes
    ----------
    median : float
        Median of the medians of the rounds, in milliseconds.
    p95 : float
        95th percentile of all calls, in milliseconds.
    spread : float
        Interquartile range of the medians of the rounds, divided by `median`.
    rounds : int
        Number of rounds.

    See Also
    --------
    interleaved : Measure several models.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.models.timing import Timing
    >>> timing = Timing.of([np.full(20, ms) for ms in (10.0, 10.0, 12.0)])
    >>> timing.median, timing.spread, timing.is_steady
    (10.0, 0.1, True)
    """

    median: float
    p95: float
    spread: float
    rounds: int

    @classmethod
    def of(cls, rounds: Sequence[Times]) -> Timing:
        """Summarize the milliseconds of the calls of each round."""
        medians = [float(np.median(times)) for times in rounds]
        low, median, high = np.percentile(medians, [25, 50, 75])
        p95 = np.percentile(np.concatenate(rounds), 95)
        return cls(float(median), float(p95), float((high - low) / max(median, 1e-9)), len(rounds))

    @property
    def is_steady(self) -> bool:
        """Whether the rounds agree, so that the measurement need not be repeated."""
        return self.spread <= STEADY

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def interleaved(
    measurements: Mapping[str, Callable[[], Mapping[str, Times]]],
    rounds: int = ROUNDS,
    most: int = MOST_ROUNDS,
) -> dict[str, dict[str, list[Times]]]:
    """Measure several models in turns, and repeat those whose rounds differ.

    In each round every model is measured once, so that a change in the load of the machine concerns all of
    them. After `rounds` rounds, models with an unsteady measurement are measured again, in turns.

    Parameters
    ----------
    measurements : mapping of str to callable
        For each model, a function that opens it, calls it several times and returns the milliseconds of the
        calls, by the kind of call, such as the number of images.
    rounds, most : int
        Smallest and largest number of rounds.

    Returns
    -------
    dict
        For each model and kind of call, the milliseconds of each round; see `Timing.of`.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.models.timing import interleaved
    >>> found = interleaved({"fast": lambda: {"1": np.full(5, 2.0)}, "slow": lambda: {"1": np.full(5, 8.0)}})
    >>> {name: len(times["1"]) for name, times in found.items()}
    {'fast': 3, 'slow': 3}
    """
    found: dict[str, dict[str, list[Times]]] = {name: {} for name in measurements}
    for number in range(most):
        for name, measure in measurements.items():
            if number < rounds or not all(Timing.of(each).is_steady for each in found[name].values()):
                for kind, times in measure().items():
                    found[name].setdefault(kind, []).append(times)
    return found


def times_of(
    predict: Callable[[NDArray[np.uint8]], object],
    batches: Sequence[NDArray[np.uint8]],
    calls: int,
    seconds: float = math.inf,
    warmup: int = 1,
) -> Times:
    """Return the milliseconds of calls of a model with each of the batches in turn.

    Parameters
    ----------
    predict : callable
        The opened file.
    batches : sequence of uint8 arrays `[B, c, H, W]`
    calls : int
        Number of calls.
    seconds : float
        No further call is started after this time, except for the second one.
    warmup : int
        Number of calls with each shape before the measurement.
    """
    for batch in {batch.shape: batch for batch in batches}.values():
        for _ in range(warmup):
            predict(batch)
    start, times = time.perf_counter(), list[float]()
    while len(times) < calls and (len(times) < 2 or time.perf_counter() - start < seconds):
        before = time.perf_counter()
        predict(batches[len(times) % len(batches)])
        times.append((time.perf_counter() - before) * 1e3)
    return np.array(times)


def quantiles(rounds: Sequence[Times], count: int) -> Times:
    """Return evenly spaced quantiles of the calls of all rounds, ascending.

    Quantiles of networks that run one after the other are added as if slow calls coincided, so that the sum
    is an upper bound of high percentiles; medians are added exactly.
    """
    found: Times = np.percentile(np.concatenate(rounds), np.linspace(0, 100, count))
    return found


def peak_memory_mb() -> float | None:
    """Return the peak memory of this process in MB, or None if the system does not report it.

    Examples
    --------
    >>> from committee.models import peak_memory_mb
    >>> peak = peak_memory_mb()
    >>> peak is None or peak > 1
    True
    """
    status = Path("/proc/self/status")
    if status.exists():
        # On Linux, getrusage may report the peak of the parent process.
        line = next(each for each in status.read_text("utf-8").splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / MEGABYTE
    try:
        import resource
        import sys
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE
