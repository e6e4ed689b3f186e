"""The engine on which a model of a store predicts."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from committee.errors import UsageError
from committee.inference.wanted import Wanted
from committee.models.engine_choices import Choice
from committee.models.engine_parity import Reference, noise
from committee.models.engine_race import engine_of, prepare, reason_of
from committee.models.engine_trials import EAGER, Trial
from committee.models.optimized import Optimized
from committee.models.planner import TOLERANCE
from committee.pipeline.optimize import example_of
from committee.pipeline.shared.engines import stored_choice
from committee.store.layout import Store

log = logging.getLogger(__name__)

LOOSE = 0.05
"""Largest difference of an engine of half precision that is asked for by its name."""


def on_engine(
    module: nn.Module, store: Store, facts: Mapping[str, Any], device: torch.device, wanted: Wanted
) -> nn.Module:
    """Return a model of a store on the wanted engine, or the model as it is.

    Parameters
    ----------
    module : nn.Module
        The model, on `device`.
    store : Store
    facts : mapping
        Facts about the model, as `load_model` returns them.
    device : torch.device
    wanted : Wanted

    Raises
    ------
    UnknownNameError
        There is no such engine.
    UsageError
        An engine that is asked for by its name cannot run the model, or predicts something else.
    """
    if wanted.is_named:
        return _named(module, store, wanted)
    if wanted.key == EAGER:
        return module
    choice = stored_choice(store, facts["name"], facts["inference"], device, wanted.batch)
    if choice is None or choice.trial.engine == EAGER:
        return module
    trial, shape = choice.trial, choice.facts["shape"]
    saved = _saved(trial, math.ceil(wanted.photos / max(1, min(wanted.batch, shape[0]))))
    if saved <= (trial.seconds or 0.0):
        log.debug("%s would save %.2g s, and takes %.2g s to prepare", trial.engine, saved, trial.seconds)
        return module
    example = noise(shape, torch.uint8, device)
    try:
        engine = engine_of(module, example, trial.engine, trial.precision)
        with torch.inference_mode():
            run = engine.prepare(module, example)
    except Exception as error:
        log.warning("%s runs as it is, without the engine %s: %s", facts["name"], trial.engine, error)
        return module
    log.info("%s", choice.sentence(facts["name"]))
    return Optimized(module, run, choice, example)


def _named(module: nn.Module, store: Store, wanted: Wanted) -> nn.Module:
    """Prepare an engine that is asked for by its name, and compare it with the model."""
    example, _ = example_of(store, module, max(1, min(wanted.batch, wanted.photos)))
    tolerance = TOLERANCE if wanted.precision == "fp32" else LOOSE
    reference = Reference(module, example)
    try:
        found = prepare(reference, wanted.key, wanted.precision, tolerance)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"--engine {wanted.engine}",
            expected="an engine that runs this model",
            got=f"one that cannot: {reason_of(error)}",
            todo="Run it as it is, with --engine eager, or compare all engines with: committee optimize NAME",
        ) from error
    choice = Choice({}, found.trial, found.any_size, 0.0, [found.trial])
    return Optimized(module, found.run, choice, reference.example)


def _saved(trial: Trial, calls: int) -> float:
    """Return the seconds that an engine saves in some calls."""
    if trial.ms is None or not trial.ratio:
        return 0.0
    return calls * trial.ms * (1 / trial.ratio - 1) / 1e3
