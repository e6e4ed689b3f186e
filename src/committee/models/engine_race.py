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
from committee.base.shared_work import shared_work
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
FEWEST, MOST = 3, 200
"""Numbers of pairs of calls in a measurement."""
CLEAR = 1.1
"""An engine that takes more than this in each of the fewest pairs is slower, and is not measured further."""
CALL = 0.25
"""Seconds of a call of the module. Engines are first measured on the part of a larger example that takes so
long: with all of 64 images, a large model would spend the budget on its first two engines."""
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
        self._part = reference.example

    def run(self, entries: Sequence[tuple[str, str]]) -> Prepared:
        """Measure engines in the given order, keep their trials, and return the one to use.

        Parameters
        ----------
        entries : sequence of (engine, precision)
        """
        with shared_work():
            self._keep(self._of_module())
            later = []
            for name, precision in entries:
                if self._is_unlikely(name, precision):
                    later.append((name, precision))
                else:
                    self._try(name, precision)
            for name, precision in later:
                self._try(name, precision)
            return self._selected()

    def _of_module(self) -> Trial:
        """Measure the module, and choose how many images engines are measured on first."""
        example = self.reference.example
        with torch.inference_mode():
            seconds = milliseconds(self.reference.infer, example) / 1e3
        self._part = example[: max(1, int(len(example) * min(1.0, CALL / seconds)))]
        times = np.array([seconds * 1e3])
        if len(self._part) == len(example):
            measured = self._times({}, FIRST, example)[EAGER, "fp32"]
            times = measured if len(measured) else times
        return Trial(EAGER, "fp32", float(np.median(times)), 1.0, 1.0, 0.0, 0.0, "the module as it is")

    def _is_unlikely(self, name: str, precision: str) -> bool:
        """Return whether an engine is slower in float32, so that its other precisions are tried last."""
        other = self.trials.get((name, "fp32"))
        return precision != "fp32" and other is not None and (other.ratio or 0.0) > CLEAR

    def _try(self, name: str, precision: str) -> None:
        """Keep the trial of an engine, unless it is missing for the reason that its float32 is."""
        trial, other = self._trial(name, precision), self.trials.get((name, "fp32"))
        if other is None or (other.verdict != trial.verdict or not trial.is_missing):
            self._keep(trial)

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
            return Trial(name, precision, verdict=f"failed: {reason_of(error)}")
        return self._timed(found)

    def _timed(self, found: Prepared) -> Trial:
        key = (found.trial.engine, found.trial.precision)
        trial = _measured(found.trial, self._times({key: found.run}, FIRST, self._part))
        if trial.ms is not None:
            trial = replace(trial, ms=trial.ms * len(self.reference.example) / len(self._part))
        if _is_faster(trial):
            self._finalists.append(replace(found, trial=trial))
            self._finalists = sorted(self._finalists, key=lambda each: each.trial.ratio or 1.0)[:FINALISTS]
        return trial

    def _selected(self) -> Prepared:
        """Measure the fastest engines together, and return the fastest of those with a clear gain."""
        self.deadline += LAST * self.budget
        left = self.deadline - time.perf_counter()
        while len(self._finalists) > 1 and FEWEST * self._seconds_of_a_round() > left:
            self._finalists.pop()
        runs = {(each.trial.engine, each.trial.precision): each.run for each in self._finalists}
        times = self._times(runs, LAST, self.reference.example) if runs else {}
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

    def _seconds_of_a_round(self) -> float:
        """Return the seconds of a call of the module and of each of the finalists."""
        trials = [self.trials[EAGER, "fp32"], *(each.trial for each in self._finalists)]
        return sum(trial.ms or 0.0 for trial in trials) / 1e3

    @torch.inference_mode()
    def _times(
        self, runs: Mapping[tuple[str, str], Infer], share: float, images: Tensor
    ) -> dict[tuple[str, str], Times]:
        """Return the milliseconds of each call of the module and of engines, measured in turns."""
        calls = {(EAGER, "fp32"): self.reference.infer, **runs}
        times: list[list[float]] = []
        end = time.perf_counter() + share * self.budget
        while len(times) < MOST:
            now = time.perf_counter()
            if now > self.deadline or (now > end and len(times) >= FEWEST):
                break
            order = list(calls) if len(times) % 2 else list(reversed(calls))
            taken = {key: milliseconds(calls[key], images) for key in order}
            times.append([taken[key] for key in calls])
            if len(times) == FEWEST and runs and all(min(row[1:]) > CLEAR * row[0] for row in times):
                break
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


def reason_of(error: BaseException) -> str:
    """Return the first line of an error, as a part of a sentence."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
