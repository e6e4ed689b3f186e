"""Selection of the engine that runs a module fastest, by measurement."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from committee.base.folders import user_cache
from committee.base.limits import above_zero
from committee.base.registry import Family
from committee.errors import StoreError
from committee.models.engine_choices import Choice, digest_of, facts_of, read_choice, write_choice
from committee.models.engine_parity import Reference
from committee.models.engine_race import Prepared, Race, prepare
from committee.models.engine_trials import EAGER, Trial
from committee.models.optimized import Optimized

log = logging.getLogger(__name__)

TOLERANCE = 1e-5
"""Largest difference of a probability; of numbers, relative to their size."""


def optimize(
    module: nn.Module,
    example: Any,
    budget_s: float = 30.0,
    tolerance: float = TOLERANCE,
    *,
    engines: Sequence[str] | None = None,
    cache: bool | Path = True,
    model: str = "",
) -> Optimized:
    """Measure all engines on a module, and return it with the fastest one that predicts the same.

    Each engine is prepared, compared with the module on the example and on other images, and timed in turns
    with the module. The fastest ones are then timed once more together, and one of them is selected if its
    gain is clear: at most 0.95 of the time of the module, and a gain in three of four pairs of calls.
    Otherwise, the module runs as it is. Engines that take long to prepare are tried last, and stopped when
    the time is over. What happened to each engine is in the table of the result.

    Parameters
    ----------
    module : nn.Module
        Images to logits, numbers or maps. It is set to evaluation mode, and not changed otherwise.
    example : tensor or array [B, c, H, W], or [B, ...]
        Images, or other inputs, as the module takes them, in the size and number in which it will get them.
    budget_s : float
        Seconds for everything.
    tolerance : float
        Largest difference of a probability, or of a number relative to the larger of the standard deviation
        of its target and the root mean square. Engines of half precision are tried if it is above 1e-5.
    engines : sequence of str, optional
        The engines to measure; all by default.
    cache : bool or Path
        Whether to read and write choices in the user's cache folder, or another folder for them. A choice
        holds for the same weights, images, device, threads, versions, engines and tolerance.
    model : str
        Digest of the module, if it is known; by default it is computed from the weights.

    Returns
    -------
    Optimized

    Raises
    ------
    DataError
        The module cannot take the example.
    UnknownNameError
        There is no such engine.
    UsageError
        The budget or the tolerance is not above zero.

    See Also
    --------
    committee.engines.base.Engine : The engines.

    Examples
    --------
    >>> import torch
    >>> from committee.models import Ensemble, Member
    >>> from committee.models.planner import optimize
    >>> nets = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2)) for _ in range(3)]
    >>> ensemble = Ensemble([Member.from_module(net, classes=["cat", "dog"], size=8) for net in nets])
    >>> images = torch.zeros(4, 3, 20, 30, dtype=torch.uint8)
    >>> fast = optimize(ensemble, images, budget_s=0.5, engines=["channels_last"], cache=False)
    >>> [trial.engine for trial in fast.table], fast.predict(images).shape
    (['eager', 'channels_last'], (4, 2))
    """
    start = time.perf_counter()
    above_zero("budget_s", budget_s)
    above_zero("tolerance", tolerance)
    entries = _entries(engines, tolerance)
    reference = Reference(module.eval(), example)
    folder = user_cache("engines") if cache is True else cache or None
    if folder is None:
        return _measured(reference, entries, (tolerance, budget_s, start))[0]
    digest = model or digest_of(module)
    facts = {**facts_of(digest, reference.example, tolerance), "engines": [[*each] for each in entries]}
    known = read_choice(folder, facts)
    found = _known(reference, known) if known is not None and known.serves(budget_s) else None
    if found is not None:
        return found
    optimized, selected = _measured(reference, entries, (tolerance, budget_s, start))
    try:
        write_choice(folder, Choice(facts, selected.trial, selected.any_size, budget_s, optimized.table))
    except StoreError as error:
        log.warning("The selected engine is not stored. %s", error)
    return optimized


def _entries(engines: Sequence[str] | None, tolerance: float) -> list[tuple[str, str]]:
    """Return the engines and precisions to measure, those of little effort first.

    Raises
    ------
    UnknownNameError
        There is no such engine.
    """
    family: Family[Any] = Family("committee.engines", "engine")
    entries = []
    for name in dict.fromkeys(family.names() if engines is None else engines):
        facts = family.constants(name)
        precisions = facts.get("precisions", ("fp32",))
        if name != EAGER:
            entries += [
                (facts.get("effort", 1), place, name, precision)
                for place, precision in enumerate(precisions)
                if precision == "fp32" or tolerance > TOLERANCE
            ]
    return [(name, precision) for *_, name, precision in sorted(entries)]


def _measured(
    reference: Reference, entries: Sequence[tuple[str, str]], limits: tuple[float, float, float]
) -> tuple[Optimized, Prepared]:
    race = Race(reference, *limits)
    selected = race.run(entries)
    return _optimized(reference, selected, list(race.trials.values())), selected


def _known(reference: Reference, choice: Choice) -> Optimized | None:
    """Return the module with an engine that was selected before; None if it does not run any more."""
    trial = choice.trial
    if trial.engine == EAGER:
        return _optimized(reference, Prepared(reference.infer, True, trial), choice.table)
    try:
        found = prepare(reference, trial.engine, trial.precision, float(choice.facts["tolerance"]))
    except Exception as error:
        log.warning("%s does not run any more, and engines are measured again: %s", trial.engine, error)
        return None
    return _optimized(reference, Prepared(found.run, found.any_size, trial), choice.table)


def _optimized(reference: Reference, selected: Prepared, table: Sequence[Trial]) -> Optimized:
    example = reference.example
    return Optimized(reference.module, selected.run, selected.trial, example, selected.any_size, table)
