"""How time and memory grow with members, rows, classes and the size of images: slopes on logarithmic axes.

A slope of 1 means that twice as much takes twice as long; a slope below 1 that fixed costs count. Fits are
those of `growth.py`; the time of a prediction is that of five small networks on 16 images. The memory is
what the process needs at its peak in addition to the logits, or to the images. Processor time, one thread,
the best of three. If matplotlib is installed, the curves are drawn in `docs/images/growth.png`.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from growth import memory, simulated, task
from harness import Row, main

from committee.models.ensemble import Ensemble
from committee.models.member import Member

FIGURE = Path(__file__).parents[1] / "docs" / "images" / "growth.png"
RULES = ("weighted", "weighted, logit", "greedy, accuracy", "pruned", "cascade")
SERIES: dict[str, list[tuple[int, int, int]]] = {
    "members": [(members, 5_000, 10) for members in (5, 10, 20, 40, 80)],
    "rows": [(10, rows, 10) for rows in (10_000, 30_000, 100_000, 300_000)],
    "classes": [(10, 5_000, classes) for classes in (10, 30, 100, 300, 1_000)],
}
SIDES = (32, 64, 128, 256)
Points = dict[str, list[tuple[float, float, float]]]


def best(make: Callable[[], Callable[[], Any]]) -> tuple[float, float]:
    """Return the shortest processor time of three calls, and the additional memory of the first in MB.

    Each call is made anew, before the clock starts, so that none uses what an earlier one has computed.
    """
    times, extra = list[float](), 0.0
    for turn in range(3):
        call = make()
        before, start = memory(reset=True), time.process_time()
        call()
        times.append(time.process_time() - start)
        extra = extra if turn else memory() - before
    return min(times), max(extra, 0.1)


def fits(series: list[tuple[int, int, int]], axis: int) -> Points:
    """Return size, seconds and memory of each rule."""
    found: Points = {name: [] for name in RULES}
    for sizes in series:
        for name in RULES:
            found[name].append((sizes[axis], *best(partial(_fit, name, sizes))))
    return found


def _fit(name: str, sizes: tuple[int, int, int]) -> Callable[[], Any]:
    return task(name, simulated(*sizes))


def images(sides: tuple[int, ...]) -> Points:
    """Return size, seconds and memory of the predictions of five networks, whose input has the size too."""
    found: Points = {"predict": []}
    for side in sides:
        networks = [
            Member.build("timm:test_resnet", classes=["a", "b"], size=side, seed=seed, name=f"m{seed}")
            for seed in range(5)
        ]
        ensemble = Ensemble(networks).eval()
        photos = torch.randint(0, 256, (16, 3, side, side), dtype=torch.uint8)
        ensemble.predict(photos)
        found["predict"].append((side, *best(partial(partial, ensemble.predict, photos))))
    return found


def slope(points: list[tuple[float, float, float]], of: int) -> float:
    """Return the slope of the line through logarithms, without the smallest size, where fixed costs count."""
    table = np.log(np.maximum(np.array(points)[1:], 1e-4))
    return float(np.polyfit(table[:, 0], table[:, of], 1)[0])


def measure(quick: bool) -> list[Row]:
    """Measure each series, and return its slopes."""
    series = {"members": [(3, 60, 4), (4, 60, 4), (6, 60, 4)]} if quick else SERIES
    found = {name: fits(sizes, list(SERIES).index(name)) for name, sizes in series.items()}
    if not quick:
        found["side of images"] = images(SIDES)
        if importlib.util.find_spec("matplotlib"):
            draw(found)
    return [
        Row(f"slope: {what}", f"{rule}, {axis}", "", slope(points, of), unit="")
        for axis, rules in found.items()
        for rule, points in rules.items()
        for of, what in ((1, "time"), (2, "memory"))
    ]


def draw(found: dict[str, Points]) -> None:
    """Draw time above memory, one column for each axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(3.2 * len(found), 5.6), sharex="col", sharey="row")
    for column, (axis, rules) in zip(axes.T, found.items(), strict=True):
        for rule, points in rules.items():
            size, seconds, extra = np.array(points).T
            for panel, values in zip(column, (np.maximum(seconds, 1e-4), extra), strict=True):
                panel.loglog(size, values, "o-", markersize=3, linewidth=1, label=rule)
        column[0].set_title(axis)
        column[1].set_xlabel(axis)
        column[0].legend(fontsize=6)
    axes[0, 0].set_ylabel("seconds of processor time")
    axes[1, 0].set_ylabel("additional MB")
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=110, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main(measure)
