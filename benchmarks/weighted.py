"""Weights for the log-loss: SLSQP on the label's column against L-BFGS on the softmax of free parameters.

Both get the same column of label log-probabilities, of simulated members on 50,000 rows; they take turns.
Each row says how long one took and how far above the optimum it stopped (the optimum: expectation
maximisation until its certificate is below 1e-10). Prints one table; `--json` prints the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from committee.combiners._simplex import linear_loss, minimise

Way = Callable[[], NDArray[np.float64]]


def simulated(members: int, rows: int, spread: float) -> NDArray[np.float32]:
    """Return label log-probabilities `[M, N]`: some members are useless when `spread` is large."""
    random = np.random.default_rng(1)
    skill = np.linspace(1.5, 1.5 - spread, members)[:, None]
    scores = skill + random.normal(size=(1, rows)) + 0.8 * random.normal(size=(members, rows))
    return (-np.logaddexp(0, -2 * scores)).astype(np.float32)


def softmax_lbfgs(label: NDArray[np.float32], dtype: torch.dtype) -> NDArray[np.float64]:
    """Return the softmax of parameters that torch's L-BFGS with strong Wolfe steps found."""
    probs = torch.from_numpy(label).to(dtype).exp()
    free = torch.zeros(len(label), dtype=dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [free], max_iter=500, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = -(free.softmax(dim=0) @ probs).log().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return free.detach().double().softmax(dim=0).numpy()


def optimum(label: NDArray[np.float32]) -> float:
    """Return the least log-loss, by expectation maximisation from our solution."""
    loss = linear_loss(label)
    weights = np.maximum(minimise(loss, len(label))[0], 1e-12)
    for _ in range(3000):
        _, gradient = loss(weights)
        if -gradient.min() - 1 < 1e-10:
            break
        weights = weights * -gradient
        weights /= weights.sum()
    return loss(weights)[0]


def measure(label: NDArray[np.float32], repeats: int) -> dict[str, Any]:
    """Time all ways in turns; ratios are of neighbours in time."""
    ways: dict[str, Way] = {
        "softmax L-BFGS float64": lambda: softmax_lbfgs(label, torch.float64),
        "softmax L-BFGS float32": lambda: softmax_lbfgs(label, torch.float32),
        "ours": lambda: minimise(linear_loss(label), len(label))[0],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            found[name] = way()
            seconds[name].append(time.perf_counter() - start)
    least, loss = optimum(label), linear_loss(label)
    ours = seconds["ours"][1:]
    return {
        name: {
            "milliseconds": 1000 * statistics.median(taken[1:]),
            "ratio": sorted(other / own for other, own in zip(taken[1:], ours, strict=True)),
            "above_optimum": loss(found[name])[0] - least,
        }
        for name, taken in seconds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[3, 15, 40])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--spread", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {
        members: measure(simulated(members, arguments.rows, arguments.spread), arguments.repeats)
        for members in arguments.members
    }
    about = {
        "machine": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0],
        "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
        "torch": torch.__version__, "rows": arguments.rows, "repeats": arguments.repeats,
    }  # fmt: skip
    if arguments.json:
        print(json.dumps({"about": about, "results": results}, indent=1))
        return
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    for members, rows in results.items():
        for name, row in rows.items():
            low, middle, high = row["ratio"][0], statistics.median(row["ratio"]), row["ratio"][-1]
            print(
                f"{members:3} members  {name:23} {row['milliseconds']:8.1f} ms   {middle:6.1f}x of ours "
                f"[{low:.1f}, {high:.1f}]   {row['above_optimum']:9.1e} above the optimum"
            )


if __name__ == "__main__":
    main()
