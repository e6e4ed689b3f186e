"""Compressed files of one stored model: made, measured against the float32 file, and kept or refused."""

from __future__ import annotations

import functools
import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from committee._version import __version__
from committee.compression.base import COMPRESSORS
from committee.errors import is_installed
from committee.exporters.base import EXPORTERS
from committee.models.timing import MEGABYTE
from committee.pipeline.model_card.package import write_card
from committee.pipeline.shared.compressible import Model, open_model
from committee.pipeline.shared.held_out import HeldOut, compared, measured
from committee.pipeline.shared.package import add_formats, format_key
from committee.pipeline.shared.per_network import mixed, of_each_network
from committee.pipeline.shared.records import model_source
from committee.pipeline.shared.trials import Report, Trials, fastest, size_mb
from committee.recipe.compression import Compression, CompressionMethod
from committee.recipe.model import Recipe
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import digest, is_done


def compress_model(
    recipe: Recipe, store: Store, name: str, section: Compression, force: bool, before: Report | None = None
) -> Report:
    """Compress a stored model by each method of a section; keep the files within its tolerances.

    Parameters
    ----------
    recipe : Recipe
    store : Store
    name : str
        Full name of the model.
    section : Compression
    force : bool
        Whether files beyond the tolerances are kept.
    before : dict, optional
        The stored report of the model, which is returned if it is up to date.

    Returns
    -------
    dict
        The report of the model in `metrics/compress.json`; see the reference of the store.
    """
    source = model_source(store, name)
    made_from = digest(
        {
            "source": source,
            "section": section.model_dump(mode="json", exclude={"enable", "of"}),
            "force": force,
            "seed": recipe.seed,
            "machine": platform.node(),
            "versions": [__version__, torch.__version__],
        }
    )
    if before is not None and before.get("made_from") == made_from and _is_intact(store.deploy(name), before):
        return before
    with tempfile.TemporaryDirectory() as temporary:
        model = open_model(recipe, store, name, section.rows, Path(temporary))
        job = _Job(model, section, recipe.seed, force, Path(temporary), source)
        found = job.run()
    write_card(recipe, store, name, store.deploy(name))
    return {"made_from": made_from, **found}


def _is_intact(package: Path, report: Report) -> bool:
    """Return whether a package has the files that a report says it keeps."""
    return all(is_done(package / name, its["key"]) for name, its in report["files"].items() if "key" in its)


class _Job:
    """The compression of one model."""

    def __init__(
        self, model: Model, section: Compression, seed: int, force: bool, temporary: Path, source: str
    ) -> None:
        self.model, self.section, self.force, self.temporary = model, section, force, temporary
        self.source, count = source, section.images
        self.images = functools.cache(lambda: model.calibration(count, seed, choosing=False))
        self.trials = Trials(
            model, section, functools.cache(lambda: model.calibration(count, seed, choosing=True))
        )
        self.compressors: dict[str, Any] = {}

    def run(self) -> Report:
        """Make, measure, choose and keep the files."""
        model, trials = self.model, self.trials
        methods = {each.folder: each for each in self._methods()}
        networks = self._networks(methods)
        if chosen := mixed(networks):
            each = CompressionMethod(method="onnx_mixed", networks=chosen)
            methods[COMPRESSORS.load("onnx_mixed").folder] = each
        baseline = trials.outputs("onnx", model.choosing_file)
        made = {folder: self._tried(folder, each, baseline) for folder, each in methods.items()}
        latency = trials.time(made, model.choosing_file)
        self._decide(made)
        tested = self._tested("onnx", model.file)
        kept = {name: self._keep(name, its, tested) for name, its in made.items() if its["status"] == "kept"}
        add_formats(model.folder, kept, made.keys() - kept.keys())
        for its in made.values():
            its.pop("path", None)
        found = self._report(made, latency, baseline, tested)
        return {**found, "networks": networks} if networks else found

    def _methods(self) -> list[CompressionMethod]:
        """Return the methods of the section; `auto` are all whose packages are installed."""
        return every_method() if self.section.methods == "auto" else list(self.section.methods)

    def _networks(self, methods: Mapping[str, CompressionMethod]) -> dict[str, Report]:
        """Return what `auto` chooses for each network alone."""
        if self.section.methods != "auto":
            return {}
        made = {str(each.method): each.make() for each in methods.values()}
        of_onnx = {name: each for name, each in made.items() if each.format == "onnx"}
        return of_each_network(self.trials, of_onnx, self.temporary / "networks")

    def _tried(self, folder: str, method: CompressionMethod, baseline: Any) -> Report:
        compressor = self.compressors[folder] = method.make()
        place = self.temporary / "tried" / folder
        found = self.trials.tried(compressor, self.model.choosing_file, baseline, place)
        return {
            "method": str(method.method),
            "options": method.options,
            "format": compressor.format,
            **found,
        }

    def _decide(self, made: Mapping[str, Report]) -> None:
        """Set the status of each file: kept, refused, or (of several by `auto`) not chosen."""
        tried = {name: its for name, its in made.items() if "choosing" in its}
        for its in tried.values():
            why = self.trials.refusal(its["choosing"])
            its |= {"status": "refused", "reason": why} if why and not self.force else {"status": "kept"}
            if why and self.force:
                its["forced"] = why
        within = {name: its for name, its in tried.items() if its["status"] == "kept"}
        if self.section.methods == "auto" and within:
            best = fastest(within)
            for name in within.keys() - {best}:
                within[name] |= {"status": "not chosen", "reason": f"{best} is faster or smaller"}

    def _tested(self, format: str, file: Path) -> Any:
        """Return the outputs of a file for the test rows, or None if there are none."""
        test = self.model.test
        return None if test is None else self.model.outputs(EXPORTERS.make(format).open(file), test)

    def _keep(self, name: str, its: Report, baseline: Any) -> Report:
        """Write the file of the deployed networks into the package; return its entry in the status.

        The file that `export` wrote with the same options and images is the same, and left as it is.
        """
        compressor, model, images = self.compressors[name], self.model, self.section.images
        facts = {"format": compressor.format, "options": _options(compressor), "method": its["method"]}
        its["key"] = format_key(self.source, name, facts["options"], images)
        folder = model.folder / name
        if not is_done(folder, its["key"]):
            with commit(folder, kind="export", fingerprint=its["key"], **facts) as new:
                compressor.compress(model.file, self.images() if compressor.calibrated else None, new)
                if compressor.format == "onnx":
                    shutil.copyfile(model.file.with_name("predict.py"), new / "predict.py")
        file = next(iter(sorted(folder.glob(f"*{EXPORTERS.load(compressor.format).suffix}"))))
        if model.test is not None:
            after = self._tested(compressor.format, file)
            its["test"] = compared(after, baseline, model.dataset, model.test.rows)
        its["file"], its["size_mb"] = (Path(name) / file.name).as_posix(), size_mb(folder)
        shown = its["test"] if "test" in its else its["choosing"]
        parity = {
            key: shown[key] for key in ("max_abs_diff", "agreement", f"{self.trials.metric.name}_lost", "n")
        }
        return {
            **facts,
            "status": "done",
            "images": images,
            "file": its["file"],
            "size_mb": its["size_mb"],
            "seconds": its["seconds"],
            "parity": {**parity, "rows": "test" if "test" in its else model.choosing.kind},
        }

    def _report(self, made: Mapping[str, Report], latency: Report, baseline: Any, tested: Any) -> Report:
        model = self.model
        labels, groups = model.dataset.labels, model.dataset.groups

        def of(outputs: Any, held_out: HeldOut | None) -> Report:
            if held_out is None:
                return {}
            rows = held_out.rows
            of_groups = None if groups is None else groups[rows]
            return {"n": len(rows), **measured(model.dataset.task, outputs, labels[rows], of_groups)}

        return {
            "source": self.source,
            "chosen_on": model.choosing.kind,
            "tolerance": self.section.tolerance,
            "min_agreement": self.section.min_agreement,
            "calibration_images": self.section.images,
            "timed_on": model.photos.origin,
            "float32": {
                "file": model.file.relative_to(model.folder).as_posix(),
                "size_mb": round(model.file.stat().st_size / MEGABYTE, 3),
                "latency_ms": latency,
                "choosing": of(baseline, model.choosing),
                **({"test": of(tested, model.test)} if model.test is not None else {}),
            },
            "files": dict(made),
        }


def every_method() -> list[CompressionMethod]:
    """Return all methods whose packages are installed, with their default options."""
    kinds = {name: COMPRESSORS.load(name) for name in COMPRESSORS.names()}
    return [
        CompressionMethod(method=name)
        for name, kind in kinds.items()
        if not kind.mixes and kind.format in EXPORTERS.names() and all(map(is_installed, kind.needs))
    ]


def _options(compressor: Any) -> Report:
    """Return the options with which the exporter writes files of the same precision."""
    known = EXPORTERS.options(compressor.format)
    return {"precision": compressor.precision} if "precision" in known else {}
