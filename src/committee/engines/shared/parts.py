"""Parts of a batch that a runtime computes at the same time, each on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], NDArray[Any]]
"""A function from the inputs of a graph `[B, ...]`, by name, to its output `[B, ...]`."""
LEAST = 2
"""Smallest number of images in a part."""
CALLS, SECONDS = 3, 0.2
"""Calls of each function that is compared, and how long one of them takes at most."""
CLEAR = 0.95
"""Largest ratio of the time of a function to that of the one before it with which it is preferred."""


def seconds(run: Run, inputs: Arrays) -> float:
    """Return the seconds of a call, the shortest of three; of one alone if that takes long."""
    times: list[float] = []
    while len(times) < CALLS and sum(times) < SECONDS:
        times.append(_once(run, inputs))
    return min(times)


def in_parts(run: Run, whole: Run, threads: int) -> Run:
    """Return a function that divides a batch, and runs its parts at the same time.

    Threads that compute parts of a batch never wait for each other; those that share each operation do so
    after each of them. On the other hand, each of them reads all weights.

    Parameters
    ----------
    run : callable
        Computes a part on one thread; it is called by several threads.
    whole : callable
        Computes batches that are too small to be divided.
    threads : int

    Examples
    --------
    >>> import numpy as np
    >>> from committee.engines.shared.parts import in_parts
    >>> run = in_parts(lambda inputs: inputs["x"] + 1, lambda inputs: inputs["x"], threads=2)
    >>> run({"x": np.zeros(5)}), run({"x": np.zeros(3)})
    (array([1., 1., 1., 1., 1.]), array([0., 0., 0.]))
    """
    pool = ThreadPoolExecutor(threads)

    def call(inputs: Arrays) -> NDArray[Any]:
        if _size(inputs) < LEAST * threads:
            return whole(inputs)
        divided = zip(*(np.array_split(each, threads) for each in inputs.values()), strict=True)
        parts = [dict(zip(inputs, each, strict=True)) for each in divided]
        return np.concatenate(list(pool.map(run, parts)))

    return call


def fastest(runs: Sequence[Run], inputs: Arrays, expected: float) -> Run:
    """Return the function that takes the least time, measured in turns; an earlier one if it is a close call.

    Parameters
    ----------
    runs : sequence of callables
    inputs : mapping of arrays
        They are cut to a part that takes about `SECONDS`.
    expected : float
        About how many seconds a call with all of them takes.
    """
    count = max(1, int(_size(inputs) * min(1.0, SECONDS / expected)))
    part = {name: each[:count] for name, each in inputs.items()}
    times = np.array([[_once(run, part) for run in runs] for _ in range(CALLS + 1)])[1:].min(0)
    best = 0
    for place in range(1, len(runs)):
        if times[place] < CLEAR * times[best]:
            best = place
    return runs[best]


def _once(run: Run, inputs: Arrays) -> float:
    start = time.perf_counter()
    run(inputs)
    return time.perf_counter() - start


def _size(inputs: Arrays) -> int:
    return len(next(iter(inputs.values())))
