"""The engines that were selected for models of a store."""

from __future__ import annotations

import math
from typing import Any

import torch

from committee.models.engine_choices import Choice, read_choices, setting_of
from committee.pipeline.shared.records import model_source
from committee.store.hashes import hash_file
from committee.store.layout import Store
from committee.store.manifest import digest


def engine_key(store: Store, name: str, inference: object) -> str:
    """Return a digest of the deployed networks of a member or an ensemble, and of its combiner."""
    return digest([model_source(store, name), inference])


def stored_choice(
    store: Store, name: str, inference: object, device: torch.device, batch: int
) -> Choice | None:
    """Return the engine that was selected for a model, here and with these versions; None if none was.

    Parameters
    ----------
    store : Store
    name : str
        Full name of a member or an ensemble.
    inference : str
        Its deployed networks.
    device : torch.device
    batch : int
        Number of images. Of several choices, it is the one for the most similar number.
    """
    wanted = setting_of(engine_key(store, name, inference), device)
    found = [
        choice
        for choice in read_choices(store.engines(name)).values()
        if wanted.items() <= {key: choice.facts.get(key) for key in wanted}.items()
    ]
    return min(found, key=lambda choice: abs(math.log(choice.facts["shape"][0] / batch)), default=None)


def add_engine(report: dict[str, Any], store: Store, device: torch.device, batch: int) -> None:
    """Add to the report of a model its latency on the engine that was selected for it, if one was."""
    choice = stored_choice(store, report["name"], report["inference"], device, batch)
    if choice is None:
        return
    trial = choice.trial
    report["latency_ms"]["engine"] = {
        "engine": trial.engine,
        "precision": trial.precision,
        "median": trial.ms,
        "ratio": trial.ratio,
        "difference": trial.difference,
        "tolerance": choice.facts["tolerance"],
        "batch": choice.facts["shape"][0],
        "image": choice.facts["shape"][1:],
    }


def engine_files(store: Store, name: str) -> dict[str, Any]:
    """Return digests of the engines that were selected for a model, as an entry `engines`; none without."""
    found = {path.name: hash_file(path) for path in sorted(store.engines(name).glob("[!.]*.json"))}
    return {"engines": found} if found else {}
