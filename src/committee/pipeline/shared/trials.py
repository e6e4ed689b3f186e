"""Trials of compression methods: what a file loses against the float32 one, and how long its calls take."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from committee.compression.base import Compressor
from committee.exporters.base import EXPORTERS
from committee.models.predictor import Images
from committee.models.timing import MEGABYTE, Timing, interleaved
from committee.pipeline.shared.compressible import BATCH, Model
from committee.pipeline.shared.held_out import compared, loss_of
from committee.pipeline.shared.network_files import measure_file
from committee.pipeline.shared.outcome import reason
from committee.recipe.compression import Compression

log = logging.getLogger(__name__)

Report = dict[str, Any]
FLOAT = "float32"
NOISE = 0.1
"""Relative difference of two latencies that counts as none."""


class Trials:
    """Compresses files that predict the rows of the choice, and compares them.

    Parameters
    ----------
    model : Model
    section : Compression
        Its tolerances.
    images : callable
        Returns the calibration images.

    Attributes
    ----------
    metric : Metric
        The metric that decides what is kept.
    """

    def __init__(self, model: Model, section: Compression, images: Callable[[], Images]) -> None:
        self.model, self.section, self.images = model, section, images
        task = model.dataset.task
        self.metric = task.metric(task.guarded)

    def given(self, compressor: Compressor) -> Images:
        """Return the images that a method needs."""
        return self.images() if compressor.calibrated else np.empty((0, 0, 0, 0), np.uint8)

    def outputs(self, format: str, file: Path) -> Any:
        """Return the outputs of a file for the rows of the choice."""
        return self.model.outputs(EXPORTERS.make(format).open(file), self.model.choosing)

    def tried(self, compressor: Compressor, source: Path, baseline: Any, folder: Path) -> Report:
        """Compress a file and compare it with its outputs; an error is recorded."""
        folder.mkdir(parents=True)
        try:
            start = time.perf_counter()
            file = compressor.compress(source, self.given(compressor), folder)
            seconds = time.perf_counter() - start
            after = self.outputs(compressor.format, file)
        except Exception as error:
            log.debug("%s of %s failed", folder.name, self.model.name, exc_info=True)
            return {"status": "failed", "reason": reason(error)}
        return {
            "size_mb": size_mb(folder),
            "seconds": round(seconds, 2),
            "choosing": compared(after, baseline, self.model.dataset, self.model.choosing.rows),
            "path": file,
        }

    def refusal(self, found: Mapping[str, Any]) -> str:
        """Return why a file is not within the tolerances; empty if it is."""
        metric, agreement, section = self.metric, found["agreement"], self.section
        lost, rows = loss_of(metric, found), f"{found['n']} {self.model.choosing.kind} rows"
        if lost["value"] > section.tolerance:
            value, low, high = (f"{100 * lost[key]:.2f}" for key in ("value", "low", "high"))
            what = f"it loses {value} points of {metric.name} [{low}, {high}]"
            if not metric.in_points:
                what = f"its {metric.name} is {value}% larger [{low}%, {high}%]"
            unit = " points" if metric.in_points else "%"
            return f"{what} on {rows}, and compress.tolerance is {100 * section.tolerance:g}{unit}"
        if agreement < section.min_agreement:
            return (
                f"it agrees with the float32 file on {agreement:.1%} of {rows}, and "
                f"compress.min_agreement is {section.min_agreement:.1%}"
            )
        return ""

    def time(self, made: Mapping[str, Report], source: Path) -> Report:
        """Measure the latency of files on photos in turns with the float32 one, which is returned."""
        photos = self.model.photos
        batches = {"1": [image[None] for image in photos.singles], str(BATCH): [photos.batch]}
        files = {FLOAT: source, **{name: its["path"] for name, its in made.items() if "path" in its}}
        found = interleaved(
            {name: functools.partial(measure_file, file, "cpu", batches) for name, file in files.items()}
        )
        latency = {
            name: {size: Timing.of(rounds).to_json() for size, rounds in each.items()}
            for name, each in found.items()
        }
        before: Report = latency.pop(FLOAT)
        for name, each in latency.items():
            speedup = {size: round(before[size]["median"] / each[size]["median"], 2) for size in each}
            made[name].update(latency_ms=each, speedup=speedup)
        return before


def fastest(files: Mapping[str, Report]) -> str:
    """Return the fastest file; of those that are as fast, within the noise of the clock, the smallest."""
    times = {name: its["latency_ms"]["1"]["median"] for name, its in files.items()}
    fast = [name for name in files if times[name] <= (1 + NOISE) * min(times.values())]
    return min(fast, key=lambda name: (files[name]["size_mb"], times[name], name))


def size_mb(folder: Path) -> float:
    """Return the size of the files of a model in a folder."""
    files = (path for path in folder.iterdir() if path.suffix != ".py" and path.name != "manifest.json")
    return round(sum(path.stat().st_size for path in files) / MEGABYTE, 3)
