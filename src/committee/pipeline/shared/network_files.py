"""Deployed networks as files of the runtime that will serve them, kept in the cache of the store."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch

from committee._version import __version__
from committee.errors import is_installed
from committee.exporters.base import EXPORTERS, Card, open_exported
from committee.models.predictor import Images, ModulePredictor
from committee.models.stored import load_network
from committee.models.timing import Times, times_of
from committee.recipe.model import Recipe
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import digest, is_done, read_manifest

log = logging.getLogger(__name__)

FORMAT = "onnx"
RUNTIMES = {FORMAT: "onnxruntime"}
"""The package that runs the files of a format."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")
CALLS, WARMUP = 20, 2
SECONDS = 2.0
"""No further call of one round is started after this time."""


def has_latency_budget(recipe: Recipe) -> bool:
    """Return whether a recipe limits the latency of a model, so that exported files are timed."""
    pruning = recipe.pruning
    return pruning is not None and pruning.enable and pruning.cost_budget.max_latency_ms is not None


def can_run_files() -> bool:
    """Return whether the packages that write and run the files are installed."""
    return all(map(is_installed, NEEDED))


def network_file(store: Store, folder: Path, trusted: Collection[str]) -> Path:
    """Return the file of one fit of a member, which is exported unless the cache has it.

    Parameters
    ----------
    store : Store
    folder : Path
        Such as `store.checkpoint("resnet18", "refit")`.
    trusted : collection of str
        The `python:` backbones that may be built.

    Raises
    ------
    CommitteeError
        The network cannot be exported.
    """
    member, fold = folder.parts[-2:]
    made_from = read_manifest(folder, verify=False).fingerprint
    key = digest([made_from, FORMAT, __version__, torch.__version__])
    place = store.cache(f"{FORMAT}_{digest([member, fold])[:16]}")
    exporter = EXPORTERS.make(FORMAT)
    if not is_done(place, key):
        log.info("Exporting %s (%s), to time it as it will be served", member, fold)
        network = load_network(folder, trusted)
        predictor = ModulePredictor(network, member, network.class_names)
        example = torch.zeros(2, predictor.channels, 40, 48, dtype=torch.uint8)
        with commit(place, kind="timed", fingerprint=key, member=member, fold=fold) as new:
            exporter.export(network, example, new, Card.of(network, member))
    return next(iter(sorted(place.glob(f"*{exporter.suffix}"))))


def measure_file(path: Path, device: str, batches: Mapping[str, Sequence[Images]]) -> dict[str, Times]:
    """Open an exported file, time its calls with each kind of batches, and release it."""
    predictor = open_exported(path, device)
    return {kind: times_of(predictor, images, CALLS, SECONDS, WARMUP) for kind, images in batches.items()}
