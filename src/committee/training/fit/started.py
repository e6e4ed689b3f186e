"""Fits that have been started, whose steps are made by whoever carries them out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from committee.base import interrupt
from committee.executors.shared.attempt import attempt
from committee.training.fit.engine import make_fabric
from committee.training.fit.job import Job, Trained
from committee.training.fit.loop import Loop, Request
from committee.training.fit.memory import ran_out_of_memory
from committee.training.fit.state import default_generators
from committee.training.fit.train import attempts, free_memory, preserved_generators, train_job


def carry_out(
    jobs: Sequence[Job], drive: Callable[[Sequence[StartedFit]], None]
) -> list[Trained | Exception]:
    """Start fits, let `drive` make all of their steps, and return their results, or why they failed.

    Parameters
    ----------
    jobs : sequence of Job
        Fits on one device. A fit that runs out of memory beside the others is continued alone.
    drive : callable
        Advances each fit until it has no request.

    Raises
    ------
    KeyboardInterrupt
        A signal asked the process to end. The states of all fits have been stored.
    """
    device = jobs[0].device
    fits = [StartedFit(job) for job in jobs]
    with preserved_generators(device), contextlib.ExitStack() as ends:
        for fit in fits:
            ends.callback(fit.steps.close)
            fit.advance(None)
        drive(fits)
    if device.type != "cpu":
        free_memory(device)
    interrupt.raise_if_requested()
    return [attempt(partial(train_job, fit.job)) if fit.result is None else fit.result for fit in fits]


class StartedFit:
    """One of several fits.

    Parameters
    ----------
    job : Job

    Attributes
    ----------
    request : Request or None
        The next batch; None if the fit has ended.
    result : Trained, Exception or None
        What it has ended with; None if it ran out of memory and is to be continued alone.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        fabric = make_fabric(job.device, job.spec.training.precision)
        self.generators = own_generators(fabric.device)
        self.steps = attempts(fabric, job, self.generators)
        self.request: Request | None = None
        self.result: Trained | Exception | None = None

    def advance(self, outcome: Tensor | Exception | None) -> None:
        """Go on to the next request with the outcome of the step before, or with the error in it."""
        self.request = None
        try:
            found = attempt(partial(self._next, outcome))
        except KeyboardInterrupt:
            if not interrupt.requested():
                raise
            return  # Its state is stored; the others go on to the point where they store theirs.
        if isinstance(found, Request):
            self.request = found
        elif isinstance(found, Trained) or not ran_out_of_memory(found):
            self.result = found

    def _next(self, outcome: Tensor | Exception | None) -> Request | Trained:
        try:
            if outcome is None:
                return next(self.steps)
            if isinstance(outcome, Exception):
                return self.steps.throw(outcome)
            return self.steps.send(outcome)
        except StopIteration as end:
            trained: Trained = end.value
            return trained

    @property
    def loop(self) -> Loop:
        """The loop whose batch is next."""
        assert self.request is not None
        return self.request.loop

    def shape(self) -> tuple[int, str]:
        """Return what stacked fits have in common in a step: the size of the batch, and the phase."""
        assert self.request is not None
        return len(self.request.positions), self.loop.state.phase

    def keeps_pace(self) -> bool:
        """Return whether the fit may be stacked: it was not rolled back, and memory suffices for a batch."""
        state = self.loop.state
        return not state.rollbacks and state.micro_batch >= self.job.spec.batch_size

    def step(self, *, draws: bool = True) -> Tensor | Exception:
        """Make the step that the fit asks for alone.

        Parameters
        ----------
        draws : bool
            Whether random layers may draw numbers, for which those of the process have to be changed.
        """
        assert self.request is not None
        source = drawing_from(self.generators, self.job.device) if draws else contextlib.nullcontext()
        with source:
            return attempt(partial(self.request.loop.step, self.request.positions))


def own_generators(device: torch.device) -> dict[str, torch.Generator]:
    """Return generators that take the place of those of the process; see `FitState`."""
    return {kind: torch.Generator(each.device) for kind, each in default_generators(device).items()}


@contextlib.contextmanager
def drawing_from(generators: Mapping[str, torch.Generator], device: torch.device) -> Iterator[None]:
    """Let random layers draw from the generators of a fit, which take the place of those of the process."""
    defaults = default_generators(device)
    for kind, own in generators.items():
        defaults[kind].set_state(own.get_state())
    try:
        yield
    finally:
        for kind, own in generators.items():
            own.set_state(defaults[kind].get_state())
