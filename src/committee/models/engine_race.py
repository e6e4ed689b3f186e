"""Times of engines, each measured in turns with the module as it is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.base.registry import Family
from committee.models.engine_parity import Infer, Reference, WrongError
from committee.models.engine_trials import EAGER, Trial
from committee.models.measure import milliseconds

Times = NDArray[np.float64]
NEEDED = {2: 15.0}
"""Seconds that must be left before an engine of this effort is prepared. A preparation is not interrupted: a
thread that is stopped within an import or a trace leaves locks behind."""
GAIN = 0.95
"""Largest ratio of the time of an engine to that of the module with which it is selected."""
FINALISTS = 3
"""Number of engines that are measured once more, together, before one is selected."""
FEWEST, MOST = 5, 200
"""Numbers of calls in a measurement."""
FIRST, LAST = 0.04, 0.12
"""Shares of the budget: of one measurement of an engine, and of that of the finalists."""


@dataclass(frozen=True)
class Prepared:
    """An engine that is ready to run, and agrees with the module.

    Attributes
    ----------
    run : callable
        What the engine prepared.
    any_size : bool
        Whether it takes images of any height and width.
    trial : Trial
        Its measurement.
    """

    run: Infer
    any_size: bool
    trial: Trial


class Race:
    """The measurement of several engines within a time.

    Parameters
    ----------
    reference : Reference
        The module, its example and its outputs.
    tolerance : float
        Largest difference.
    budget : float
        Seconds for all, from `start`.
    start : float
        Time of `time.perf_counter` at which the budget began.

    See Also
    --------
    committee.models.planner.optimize : Selects the fastest one.
    """

    def __init__(self, reference: Reference, tolerance: float, budget: float, start: float) -> None:
        self.reference, self.tolerance, self.budget = reference, tolerance, budget
        self.deadline = start + (1 - LAST) * budget
        self.trials: dict[tuple[str, str], Trial] = {}
        self._finalists: list[Prepared] = []

    def run(self, entries: Sequence[tuple[str, str]]) -> Prepared:
        """Measure engines in the given order, keep their trials, and return the one to use.

        Parameters
        ----------
        entries : sequence of (engine, precision)
        """
        times = self._times({}, FIRST)[EAGER, "fp32"]
        self._keep(Trial(EAGER, "fp32", float(np.median(times)), 1.0, 1.0, 0.0, 0.0, "the module as it is"))
        for name, precision in entries:
            trial, other = self._trial(name, precision), self.trials.get((name, "fp32"))
            if other is None or (other.verdict != trial.verdict or not trial.is_missing):
                self._keep(trial)
        return self._selected()

    def _keep(self, trial: Trial) -> None:
        self.trials[trial.engine, trial.precision] = trial

    def _trial(self, name: str, precision: str) -> Trial:
        """Prepare an engine, compare it with the module and time it."""
        try:
            engine = engine_of(self.reference.module, self.reference.example, name, precision)
            left = self.deadline - time.perf_counter()
            if left <= NEEDED.get(getattr(engine, "effort", 1), 0.0):
                return Trial(name, precision, verdict=f"not tried: {max(0.0, left):.2g} s were left")
            found = prepare(self.reference, name, precision, self.tolerance)
        except MissingError as missing:
            return Trial(name, precision, verdict=f"missing: {missing}")
        except WrongError as wrong:
            return Trial(name, precision, difference=wrong.difference, verdict=f"wrong: {wrong}")
        except Exception as error:
            return Trial(name, precision, verdict=f"failed: {_reason(error)}")
        return self._timed(found)

    def _timed(self, found: Prepared) -> Trial:
        key = (found.trial.engine, found.trial.precision)
        trial = _measured(found.trial, self._times({key: found.run}, FIRST))
        if _is_faster(trial):
            self._finalists.append(replace(found, trial=trial))
            self._finalists = sorted(self._finalists, key=lambda each: each.trial.ratio or 1.0)[:FINALISTS]
        return trial

    def _selected(self) -> Prepared:
        """Measure the fastest engines together, and return the fastest of those with a clear gain."""
        runs = {(each.trial.engine, each.trial.precision): each.run for each in self._finalists}
        self.deadline += LAST * self.budget
        times = self._times(runs, LAST) if runs else {}
        found = [replace(each, trial=_again(each.trial, times)) for each in self._finalists]
        for each in found:
            self._keep(each.trial)
        faster = [each for each in found if _is_faster(each.trial)]
        if faster:
            best = min(faster, key=lambda each: each.trial.ratio or 1.0)
            best = replace(best, trial=replace(best.trial, verdict="selected"))
        else:
            trial = self.trials[EAGER, "fp32"]
            verdict = "selected: no engine is clearly faster and agrees"
            best = Prepared(self.reference.infer, True, replace(trial, verdict=verdict))
        self._keep(best.trial)
        return best

    @torch.inference_mode()
    def _times(self, runs: Mapping[tuple[str, str], Infer], share: float) -> dict[tuple[str, str], Times]:
        """Return the milliseconds of each call of the module and of engines, measured in turns."""
        calls = {(EAGER, "fp32"): self.reference.infer, **runs}
        times: list[list[float]] = []
        end = time.perf_counter() + share * self.budget
        while len(times) < MOST:
            now = time.perf_counter()
            if now > self.deadline or (now > end and len(times) >= FEWEST):
                break
            order = list(calls) if len(times) % 2 else list(reversed(calls))
            taken = {key: milliseconds(calls[key], self.reference.example) for key in order}
            times.append([taken[key] for key in calls])
        table = np.array(times).reshape(-1, len(calls))
        return dict(zip(calls, table.T, strict=True))


class MissingError(Exception):
    """An engine cannot run a module on this machine."""


def engine_of(module: nn.Module, example: Tensor, name: str, precision: str) -> Any:
    """Return an engine that can run a module here.

    Raises
    ------
    MissingError
        The engine cannot run the module on this machine.
    """
    engines: Family[Any] = Family("committee.engines", "engine")
    engine = engines.make(name, precision=precision)
    if missing := engine.missing(module, example):
        raise MissingError(missing)
    return engine


def prepare(reference: Reference, name: str, precision: str, tolerance: float) -> Prepared:
    """Return an engine, prepared for the example and compared with the module.

    Raises
    ------
    MissingError
        The engine cannot run the module on this machine.
    WrongError
        It returns something else than the module.
    Exception
        It cannot run the module.
    """
    start = time.perf_counter()
    with torch.inference_mode():
        engine = engine_of(reference.module, reference.example, name, precision)
        run = engine.prepare(reference.module, reference.example)
    seconds = time.perf_counter() - start
    difference, any_size = reference.check(run, tolerance)
    return Prepared(run, any_size, Trial(name, precision, difference=difference, seconds=seconds))


def _measured(trial: Trial, times: Mapping[tuple[str, str], Times]) -> Trial:
    """Return a trial with its times and what follows; without times if there are not enough to compare."""
    own, eager = times[trial.engine, trial.precision], times[EAGER, "fp32"]
    if len(own) < FEWEST:
        return replace(trial, verdict="stopped: the time was over before it was measured")
    ratio, high = map(float, np.percentile(own / eager, [50, 75]))
    found = replace(trial, ms=float(np.median(own)), ratio=ratio, high=high)
    if _is_faster(found):
        return replace(found, verdict="faster, but not the fastest")
    return replace(found, verdict="slower" if ratio > 1 / GAIN else "no clear gain")


def _again(trial: Trial, times: Mapping[tuple[str, str], Times]) -> Trial:
    """Return a trial as it was measured again, if there was time for it."""
    found = _measured(trial, times)
    return trial if found.is_unfinished else found


def _is_faster(trial: Trial) -> bool:
    """Return whether the gain is clear: large enough, and in three of four pairs of calls."""
    return trial.ratio is not None and trial.high is not None and trial.ratio <= GAIN and trial.high < 1


def _reason(error: BaseException) -> str:
    """Return the first line of an error, as a part of a sentence."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
