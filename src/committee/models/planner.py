"""Selection of the engine that runs a module fastest, by measurement."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
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
from committee.models.engine_trials import EAGER
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
    cache: bool | str | Path = True,
    model: str = "",
) -> Optimized:
    """Measure all engines on a module, and return it with the fastest one that predicts the same.

    Each engine is prepared, compared with the module on the example and on other images, and timed in turns
    with the module. The fastest ones are then timed once more together, and one of them is selected if its
    gain is clear: at most 0.95 of the time of the module, and a gain in three of four pairs of calls.
    Otherwise, the module runs as it is. Engines that take long to prepare come last, if there is time left
    for them. What happened to each engine is in the table of the result.

    Parameters
    ----------
    module : nn.Module
        Images to logits, numbers or maps. It is set to evaluation mode, and not changed otherwise.
    example : tensor or array [B, c, H, W], or [B, ...]
        Images, or other inputs, as the module takes them, in the size and number in which it will get them.
    budget_s : float
        Seconds for everything. No engine is begun after it; one that is being prepared is not interrupted.
    tolerance : float
        Largest difference of a probability, or of a number relative to the larger of the standard deviation
        of its target and the root mean square. Engines of half precision are tried if it is above 1e-5.
    engines : str or sequence of str, optional
        The engines to measure; all by default.
    cache : bool, str or Path
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
    plan = _Plan(module, example, (tolerance, budget_s), engines, cache, model)
    return plan.known() or plan.measured()


def choose(
    module: nn.Module,
    example: Any,
    budget_s: float,
    tolerance: float,
    *,
    engines: Sequence[str] | None,
    cache: Path,
    model: str,
) -> tuple[Choice, bool]:
    """Return the engine that `optimize` would use, without preparing one that was selected before.

    Returns
    -------
    choice : Choice
    stored : bool
        Whether it was selected before.
    """
    plan = _Plan(module, example, (tolerance, budget_s), engines, cache, model)
    found = plan.choice
    return (plan.measured().choice, False) if found is None else (found, True)


class _Plan:
    """The selection of an engine: what is measured, and where the choice is kept."""

    def __init__(
        self,
        module: nn.Module,
        example: Any,
        limits: tuple[float, float],
        engines: Sequence[str] | None,
        cache: bool | str | Path,
        model: str,
    ) -> None:
        self._start = time.perf_counter()
        self._tolerance, self._budget = limits
        above_zero("budget_s", self._budget)
        above_zero("tolerance", self._tolerance)
        self._entries = _entries(engines, self._tolerance)
        self._reference = Reference(module.eval(), example)
        self._folder = user_cache("engines") if cache is True else Path(cache) if cache else None
        digest = model or (digest_of(module) if self._folder else "")
        self._facts = facts_of(digest, self._reference.example, self._tolerance, self._entries)

    @property
    def choice(self) -> Choice | None:
        """The stored choice, unless more time could change it."""
        found = read_choice(self._folder, self._facts) if self._folder else None
        return found if found is not None and found.serves(self._budget) else None

    def known(self) -> Optimized | None:
        """Return the module on the engine of the stored choice; None if it does not run any more."""
        choice = self.choice
        if choice is None:
            return None
        if choice.trial.engine == EAGER:
            return self._optimized(Prepared(self._reference.infer, True, choice.trial), choice)
        name, precision = choice.trial.engine, choice.trial.precision
        try:
            found = prepare(self._reference, name, precision, self._tolerance)
        except Exception as error:
            log.warning("%s does not run any more, and engines are measured again: %s", name, error)
            return None
        return self._optimized(found, choice)

    def measured(self) -> Optimized:
        """Measure the engines, keep the choice, and return the module on the selected one."""
        race = Race(self._reference, self._tolerance, self._budget, self._start)
        found = race.run(self._entries)
        table = list(race.trials.values())
        made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        choice = Choice(self._facts, found.trial, found.any_size, self._budget, table, made)
        if self._folder:
            try:
                write_choice(self._folder, choice)
            except (StoreError, OSError) as error:
                log.warning("The selected engine is not stored. %s", error)
        return self._optimized(found, choice)

    def _optimized(self, found: Prepared, choice: Choice) -> Optimized:
        return Optimized(self._reference.module, found.run, choice, self._reference.example)


def _entries(engines: Sequence[str] | None, tolerance: float) -> list[tuple[str, str]]:
    """Return the engines and precisions to measure, those of little effort first.

    Raises
    ------
    UnknownNameError
        There is no such engine.
    """
    family: Family[Any] = Family("committee.engines", "engine")
    entries = []
    named = [engines] if isinstance(engines, str) else engines
    for name in dict.fromkeys(family.names() if named is None else named):
        facts = family.constants(name)
        precisions = facts.get("precisions", ("fp32",))
        if name != EAGER:
            entries += [
                (facts.get("effort", 1), name, place, precision)
                for place, precision in enumerate(precisions)
                if precision == "fp32" or tolerance > TOLERANCE
            ]
    return [(name, precision) for _, name, _, precision in sorted(entries)]
