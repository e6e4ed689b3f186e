"""How time and memory grow with members, rows, classes and the size of images: slopes on logarithmic axes.

A slope of 1 means that twice as much takes twice as long; a slope below 1 that fixed costs count. Each fit
includes the pass over the logits that all fits share; the time of a prediction is that of five small networks
on 16 images. The memory is what the process needs at its peak in addition to the logits or the images, as
Linux reports it. Processor time, one thread, the best of three. With matplotlib, the curves are drawn in
`docs/images/growth.png`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, main

from committee.combiners.base import build
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.predictions.table import Predictions

FIGURE = Path(__file__).parents[1] / "docs" / "images" / "growth.png"
RULES: dict[str, dict[str, Any]] = {
    "weighted": {"combiner": "weighted"},
    "weighted, logit": {"combiner": "weighted", "space": "logit"},
    "greedy, accuracy": {"combiner": "greedy_selection", "metric": "accuracy"},
    "pruned": {"combiner": "pruned"},
    "cascade": {"combiner": "cascade"},
}
SERIES: dict[str, list[tuple[int, int, int]]] = {
    "members": [(members, 5_000, 10) for members in (5, 10, 20, 40, 80, 160)],
    "rows": [(10, rows, 10) for rows in (3_000, 10_000, 30_000, 100_000, 300_000)],
    "classes": [(10, 5_000, classes) for classes in (10, 30, 100, 300, 1_000)],
}
SIDES = (32, 64, 128, 256)
LEAST_MB = 4
"""Series that never need as much memory have no slope: they measure how memory is divided into pages."""
Points = list[tuple[float, float, float]]
Found = dict[tuple[str, str], dict[str, Points]]
"""The points of each rule, by the axis and what is the same at all of its points."""


def simulated(members: int, rows: int, classes: int) -> Predictions:
    """Return members with a shared signal of the class, and individual noise and confidence."""
    random = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    logits = np.empty((members, rows, classes), np.float32)
    shared = random.standard_normal((rows, classes), np.float32)
    shared[np.arange(rows), labels] += 3.6
    for member in range(members):
        random.standard_normal(out=logits[member], dtype=np.float32)
        logits[member] *= 0.5 + 0.03 * (member % 7)
        logits[member] += shared
    names = [f"member{place:03d}" for place in range(members)]
    return Predictions.from_logits(
        logits, members=names, class_names=[f"class{place}" for place in range(classes)], labels=labels
    )


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
    return max(min(times), 1e-4), max(extra, 0.1)


def memory(reset: bool = False) -> float:
    """Return the peak memory of this process in MB, or what it uses now if the peak is reset before."""
    if reset:
        with suppress(AttributeError, OSError, TypeError):  # a C library without this function
            ctypes.CDLL(None).malloc_trim(0)  # what is free is used again, and would not be counted
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def fits(series: list[tuple[int, int, int]], axis: int) -> dict[str, Points]:
    """Return size, seconds and memory of each rule."""
    found: dict[str, Points] = {name: [] for name in RULES}
    for sizes in series:
        predictions = simulated(*sizes)
        for name in RULES:
            found[name].append((sizes[axis], *best(partial(_fit, name, predictions))))
    return found


def _fit(name: str, predictions: Predictions) -> Callable[[], Any]:
    """Return a fit on a table of its own, for which nothing is known."""
    return partial(build(RULES[name]).fit, replace(predictions))


def images(sides: tuple[int, ...]) -> dict[str, Points]:
    """Return pixels, seconds and memory of predictions whose input has the size of the images."""
    found: Points = []
    for side in sides:
        networks = [
            Member.build("timm:test_resnet", classes=["a", "b"], size=side, seed=seed, name=f"m{seed}")
            for seed in range(5)
        ]
        ensemble = Ensemble(networks).eval()
        photos = torch.randint(0, 256, (16, 3, side, side), dtype=torch.uint8)
        ensemble.predict(photos)
        found.append((side**2, *best(partial(partial, ensemble.predict, photos))))
    return {"five networks predict": found}


def slope(points: Points, of: int) -> float | None:
    """Return the slope of the line through logarithms, without the smallest size, where fixed costs count."""
    table = np.array(points)[1:]
    if of == 2 and table[:, of].max() < LEAST_MB:
        return None
    return float(np.polyfit(np.log(table[:, 0]), np.log(table[:, of]), 1)[0])


def measure(quick: bool) -> list[Row]:
    """Measure each series, and return its largest size and its slopes."""
    series = {"members": [(3, 60, 4), (4, 60, 4), (6, 60, 4)]} if quick else SERIES
    fits([(3, 60, 4)], 0)  # imports
    found: Found = {
        (name, fixed(sizes[0], name)): fits(sizes, list(SERIES).index(name)) for name, sizes in series.items()
    }
    if not quick:
        found["pixels of an image", "5 networks, 16 images"] = images(SIDES)
        if importlib.util.find_spec("matplotlib"):
            draw(found)
    return [
        row
        for (axis, same), rules in found.items()
        for rule, points in rules.items()
        for row in _rows(axis, f"{rule}, {points[-1][0]:,.0f} {axis}, {same}", points)
    ]


def fixed(sizes: tuple[int, int, int], axis: str) -> str:
    """Return the sizes of the other axes."""
    return ", ".join(f"{size:,} {name}" for name, size in zip(SERIES, sizes, strict=True) if name != axis)


def _rows(axis: str, work: str, points: Points) -> Iterator[Row]:
    """Yield time and memory at the largest size, with the slopes over all sizes."""
    for of, unit in ((1, "s"), (2, "MB")):
        steep = slope(points, of)
        note = "too little memory for a slope" if steep is None else f"slope {steep:.2f}"
        yield Row(f"growth with {axis}", work, "", points[-1][of], unit=unit, note=note)


def draw(found: Found) -> None:
    """Draw time above memory, one column for each axis, with the slopes in the legends."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    size = (3.3 * len(found), 6.4)
    figure, axes = plt.subplots(2, len(found), figsize=size, sharex="col", sharey="row", layout="constrained")
    for column, ((axis, same), rules) in zip(axes.T, found.items(), strict=True):
        for rule, points in rules.items():
            for of, panel in zip((1, 2), column, strict=True):
                steep, table = slope(points, of), np.array(points)
                label = f"{rule}: {'–' if steep is None else f'{steep:.2f}'}"
                panel.loglog(table[:, 0], table[:, of], "o-", markersize=3.5, linewidth=1.3, label=label)
        column[0].set_title(f"growth with {axis}\n({same})", fontsize=10)
        column[1].set_xlabel(axis)
        sizes = [size for size, _, _ in next(iter(rules.values()))]
        column[1].set_xticks(sizes, [f"{size:,.0f}" for size in sizes], fontsize=8)
        column[1].minorticks_off()
        for panel in column:
            panel.grid(which="major", linewidth=0.4, alpha=0.6)
            panel.legend(fontsize=7.5, title="slope", title_fontsize=7.5, handlelength=1.2, loc="upper left")
    for panel, name in zip(axes[:, 0], ("processor time, s", "additional memory, MB"), strict=True):
        panel.set_ylabel(name)
        low, high = panel.get_ylim()
        panel.set_ylim(low, high * 30)  # room for the legends
    figure.savefig(FIGURE, dpi=100, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main(measure)
