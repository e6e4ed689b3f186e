"""Compressed files of one stored model: made, measured against the float32 file, and kept or refused."""

from __future__ import annotations

import functools
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from committee._version import __version__
from committee.base.randomness import derive
from committee.errors import ExportError
from committee.exporters.base import EXPORTERS, Card
from committee.images.dataset import Dataset
from committee.images.view import View
from committee.models.predictor import Images, Predictor
from committee.models.timing import MEGABYTE, Times, Timing, interleaved, times_of
from committee.pipeline.shared.held_out import (
    HeldOut,
    choosing_rows,
    compared,
    measured,
    predict_rows,
    test_rows,
)
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.outcome import reason
from committee.pipeline.shared.package import add_formats, failures
from committee.pipeline.shared.package_model import cached_images, package_model
from committee.pipeline.shared.records import model_source
from committee.recipe.compression import Compression, CompressionMethod
from committee.recipe.model import Recipe
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import digest

log = logging.getLogger(__name__)

Report = dict[str, Any]
CALLS = {1: 5, 32: 2}
"""Calls of a file in each round of the measurement of latency, by batch size."""
ROUNDS, MOST_ROUNDS = 3, 6
NOISE = 0.1
"""Relative difference of two latencies that counts as none."""


@dataclass(frozen=True, eq=False)
class Model:
    """A stored model with its float32 file, the file on which choices are made, and the images.

    Attributes
    ----------
    name : str
    folder : Path
        The package.
    file, choosing_file : Path
        The float32 ONNX files of the deployed networks, and of the networks that have not seen `choosing`.
    choosing : HeldOut
        The rows of the choice.
    test : HeldOut or None
        The rows of the report.
    dataset : Dataset
    view : View
        Reads the images of both files.
    """

    name: str
    folder: Path
    file: Path
    choosing_file: Path
    choosing: HeldOut
    test: HeldOut | None
    dataset: Dataset
    view: View

    def calibration(self, count: int, seed: int) -> Images:
        """Return random training images, uint8 `[N, c, S, S]`, without those of the choice."""
        rows = np.setdiff1d(self.dataset.rows("train"), self.choosing.rows)
        chosen = np.random.default_rng(derive(seed, "calibration")).permutation(rows)[:count]
        return self._images(np.sort(chosen))

    def _images(self, rows: Any) -> Images:
        return self.dataset.images(rows, self.view).contiguous().numpy()

    def log_probs(self, predictor: Predictor, held_out: HeldOut) -> Any:
        """Return the log-probabilities of rows."""
        return predict_rows(predictor, self.dataset, self.view, held_out.rows)

    def some_images(self, count: int) -> Images:
        """Return images, uint8 `[count, c, S, S]`, for measurements of latency."""
        return self._images(np.resize(self.choosing.rows, count))


def open_model(recipe: Recipe, store: Store, name: str, rows: int, temporary: Path) -> Model:
    """Export a stored model to ONNX, unless that is done, and find rows that were held out.

    Raises
    ------
    StoreError
        The networks have seen all rows.
    ExportError
        The model cannot be written as ONNX.
    DataError
        Neither the images of the data set nor their cache can be read.
    """
    module, _ = load_model(store, name, trusted=recipe.trusted_backbones())
    dataset, view = cached_images(recipe, store, module)
    choosing = choosing_rows(store, name, dataset, rows, recipe.seed)
    folder = store.deploy(name)
    status = package_model(recipe, store, name, folder, ["onnx"])
    if "onnx" in failures(status):
        raise ExportError(
            name, expected="a float32 ONNX file to compress", got=status["formats"]["onnx"]["reason"]
        )
    file = folder / status["formats"]["onnx"]["file"]
    choosing_file = file
    if choosing.inference is not None:
        trained_without, _ = load_model(
            store, name, inference=choosing.inference, trusted=recipe.trusted_backbones()
        )
        example = torch.from_numpy(dataset.images(choosing.rows[:2], view).contiguous().numpy())
        card = Card(name, tuple(trained_without.class_names))  # type: ignore[arg-type]
        choosing_file = EXPORTERS.make("onnx").export(trained_without, example, temporary, card)
    test = test_rows(store, name, dataset, rows, recipe.seed)
    return Model(name, folder, file, choosing_file, choosing, test, dataset, view)


def compress_model(recipe: Recipe, store: Store, name: str, section: Compression, force: bool) -> Report:
    """Compress a stored model by each method of a section; keep the files within its tolerances.

    Returns
    -------
    dict
        The report of the model in `metrics/compress.json`; see the reference of the store.
    """
    with tempfile.TemporaryDirectory() as temporary:
        model = open_model(recipe, store, name, section.rows, Path(temporary))
        job = _Job(model, section, recipe.seed, force, Path(temporary), model_source(store, name))
        return job.run()


class _Job:
    """The compression of one model."""

    def __init__(
        self, model: Model, section: Compression, seed: int, force: bool, temporary: Path, source: str
    ) -> None:
        self.model, self.section, self.force, self.temporary = model, section, force, temporary
        self.source = source
        self.images = functools.cache(lambda: model.calibration(section.images, seed))
        self.before = _open("onnx", model.choosing_file)

    def run(self) -> Report:
        """Make, measure, choose and keep the files."""
        baseline = self.model.log_probs(self.before, self.model.choosing)
        made = {method.folder: self._tried(method, baseline) for method in self._methods()}
        timed = {name: its["predictor"] for name, its in made.items() if "predictor" in its}
        latencies = _latencies({"float32": self.before, **timed}, self.model)
        for name, its in made.items():
            if name in timed:
                its |= _speed(latencies[name], latencies["float32"])
        self._decide(made)
        before = _open("onnx", self.model.file) if self.model.test is not None else None
        tested = self.model.log_probs(before, self.model.test) if before and self.model.test else None
        kept = {name: self._keep(name, its, tested) for name, its in made.items() if its["status"] == "kept"}
        add_formats(self.model.folder, kept, made.keys() - kept.keys())
        for its in made.values():
            its.pop("predictor", None)
            its.pop("compressor", None)
        return self._report(made, latencies["float32"], baseline, tested)

    def _methods(self) -> Sequence[CompressionMethod]:
        """Return the methods of the section; `auto` are all whose packages are installed."""
        if self.section.methods != "auto":
            return self.section.methods
        return every_method()

    def _tried(self, method: CompressionMethod, baseline: Any) -> Report:
        """Compress the file of the choice and compare it with the baseline; an error is recorded."""
        compressor = method.make()
        entry: Report = {"method": str(method.method), "options": method.options, "format": compressor.format}
        folder = self.temporary / "tried" / method.folder
        folder.mkdir(parents=True)
        try:
            start = time.perf_counter()
            file = compressor.compress(self.model.choosing_file, self._given(compressor), folder)
            seconds = time.perf_counter() - start
            predictor = _open(compressor.format, file)
            after = self.model.log_probs(predictor, self.model.choosing)
        except Exception as error:
            log.debug("%s of %s failed", method.folder, self.model.name, exc_info=True)
            return {**entry, "status": "failed", "reason": reason(error)}
        choosing = compared(after, baseline, self.model.dataset, self.model.choosing.rows)
        return {
            **entry,
            "size_mb": _size_mb(folder),
            "seconds": round(seconds, 2),
            "choosing": choosing,
            "predictor": predictor,
            "compressor": compressor,
        }

    def _given(self, compressor: Any) -> Images:
        images: Images = self.images() if compressor.calibrated else np.empty((0, 0, 0, 0), np.uint8)
        return images

    def _decide(self, made: Mapping[str, Report]) -> None:
        """Set the status of each file: kept, refused, or (of several by `auto`) not chosen."""
        measured = {name: its for name, its in made.items() if "choosing" in its}
        for its in measured.values():
            why = self._refusal(its["choosing"])
            its |= {"status": "refused", "reason": why} if why and not self.force else {"status": "kept"}
            if why and self.force:
                its["forced"] = why
        within = [name for name, its in measured.items() if its["status"] == "kept"]
        if self.section.methods == "auto" and within:
            best = _best({name: measured[name] for name in within})
            for name in within:
                if name != best:
                    measured[name] |= {"status": "not chosen", "reason": f"{best} is faster or smaller"}

    def _refusal(self, found: Mapping[str, Any]) -> str:
        """Return why a file is not within the tolerances; empty if it is."""
        lost, agreement, section = found["accuracy_lost"], found["agreement"], self.section
        rows = f"{found['n']} {self.model.choosing.kind} rows"
        if lost["value"] > section.tolerance:
            return (
                f"it loses {100 * lost['value']:.2f} points of accuracy [{100 * lost['low']:.2f}, "
                f"{100 * lost['high']:.2f}] on {rows}, and compress.tolerance is "
                f"{100 * section.tolerance:g} points"
            )
        if agreement < section.min_agreement:
            return (
                f"it agrees with the float32 file on {agreement:.1%} of {rows}, and "
                f"compress.min_agreement is {section.min_agreement:.1%}"
            )
        return ""

    def _keep(self, name: str, its: Report, baseline: Any) -> Report:
        """Write the file of the deployed networks into the package; return its entry in the status."""
        compressor = its["compressor"]
        key = digest([self.source, its["method"], its["options"], self.section.images, __version__])
        facts = {"format": compressor.format, "options": _options(compressor), "method": its["method"]}
        with commit(self.model.folder / name, kind="export", fingerprint=key, **facts) as new:
            file = compressor.compress(self.model.file, self._given(compressor), new)
            predictor = _open(compressor.format, file)
            if self.model.test is not None:
                after = self.model.log_probs(predictor, self.model.test)
                its["test"] = compared(after, baseline, self.model.dataset, self.model.test.rows)
            its["predictor"] = None
            del predictor
            its["file"] = (Path(name) / file.name).as_posix()
            its["size_mb"] = _size_mb(new)
        shown = its["test"] if "test" in its else its["choosing"]
        parity = {key: shown[key] for key in ("max_abs_diff", "agreement", "accuracy_lost", "n")}
        return {
            **facts,
            "status": "done",
            "file": its["file"],
            "size_mb": its["size_mb"],
            "seconds": its["seconds"],
            "parity": {**parity, "rows": "test" if "test" in its else self.model.choosing.kind},
        }

    def _report(self, made: Mapping[str, Report], latency: Report, baseline: Any, tested: Any) -> Report:
        model = self.model
        labels, groups = model.dataset.labels, model.dataset.groups

        def of(log_probs: Any, held_out: HeldOut | None) -> Report:
            if held_out is None:
                return {}
            rows = held_out.rows
            of_groups = None if groups is None else groups[rows]
            return {"n": len(rows), **measured(log_probs, labels[rows], of_groups)}

        size = model.file.stat().st_size / MEGABYTE
        return {
            "source": self.source,
            "chosen_on": model.choosing.kind,
            "tolerance": self.section.tolerance,
            "min_agreement": self.section.min_agreement,
            "calibration_images": self.section.images,
            "float32": {
                "file": model.file.relative_to(model.folder).as_posix(),
                "size_mb": round(size, 3),
                "latency_ms": latency,
                "choosing": of(baseline, model.choosing),
                **({"test": of(tested, model.test)} if model.test is not None else {}),
            },
            "files": dict(made),
        }


def _best(files: Mapping[str, Report]) -> str:
    """Return the fastest file; of those that are as fast, within the noise of the clock, the smallest."""
    times = {name: its["latency_ms"]["1"]["median"] for name, its in files.items()}
    fast = [name for name in files if times[name] <= (1 + NOISE) * min(times.values())]
    return min(fast, key=lambda name: (files[name]["size_mb"], times[name], name))


def every_method() -> list[CompressionMethod]:
    """Return all methods whose packages are installed, with their default options."""
    import importlib.util

    from committee.compression.base import COMPRESSORS

    kinds = {name: COMPRESSORS.load(name) for name in COMPRESSORS.names()}
    return [
        CompressionMethod(method=name)
        for name, kind in kinds.items()
        if kind.format in EXPORTERS.names() and all(importlib.util.find_spec(each) for each in kind.needs)
    ]


def _options(compressor: Any) -> Report:
    """Return the options with which the exporter writes files of the same precision."""
    known = EXPORTERS.options(compressor.format)
    return {"precision": compressor.precision} if "precision" in known else {}


def _open(format: str, file: Path) -> Predictor:
    return EXPORTERS.make(format).open(file)


def _latencies(predictors: Mapping[str, Predictor], model: Model) -> dict[str, Report]:
    """Return the latency of each file at each batch size, measured in turns, and repeated where it varies."""
    images = {size: model.some_images(size) for size in CALLS}

    def times(predictor: Predictor) -> dict[str, Times]:
        # The first call is not measured, since the threads of the previous file disturb it.
        return {str(size): times_of(predictor, [images[size]], calls) for size, calls in CALLS.items()}

    measurements = {name: functools.partial(times, each) for name, each in predictors.items()}
    return {
        name: {size: Timing.of(rounds).to_json() for size, rounds in found.items()}
        for name, found in interleaved(measurements, ROUNDS, MOST_ROUNDS).items()
    }


def _speed(latency: Report, before: Report) -> Report:
    speedup = {size: round(before[size]["median"] / each["median"], 2) for size, each in latency.items()}
    return {"latency_ms": latency, "speedup": speedup}


def _size_mb(folder: Path) -> float:
    files = (path for path in folder.iterdir() if path.suffix != ".py" and path.name != "manifest.json")
    return round(sum(path.stat().st_size for path in files) / MEGABYTE, 3)
