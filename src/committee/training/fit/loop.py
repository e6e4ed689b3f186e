"""Epochs of one fit."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from committee.base import deadline, interrupt
from committee.base.events import reported
from committee.base.progress import Step as Advance
from committee.base.progress import bar
from committee.base.text import lack_of_time
from committee.errors import UnfinishedError
from committee.training.fit import resume
from committee.training.fit.batches import Rows, epoch_batches
from committee.training.fit.early_stopping import inner_outputs, split_rows
from committee.training.fit.job import Job, Trained
from committee.training.fit.journal import Row, columns, describe_epoch
from committee.training.fit.map_loader import crops_of_epoch
from committee.training.fit.memory import halving
from committee.training.fit.optimizer import set_rate
from committee.training.fit.rollback import Diverged
from committee.training.fit.schedule import Schedule
from committee.training.fit.start import (
    examples,
    head_epochs,
    place_member,
    starting_weights,
    tensor_of,
)
from committee.training.fit.state import FitState
from committee.training.fit.steps import Step
from committee.training.losses.base import loss_for

if TYPE_CHECKING:
    from committee.training.fit.engine import Fabric

AGREE = 16
"""Batches between which processes that share a fit agree whether the deadline has passed."""
CLEARLY = 1.25
"""Time of the epochs that a fit lacks, as a multiple of the time left, above which it is stopped at once."""

log = logging.getLogger(__name__)


class Request(NamedTuple):
    """A batch that a fit is to be trained on next: positions int64 `[B]` of its rows, in this process."""

    loop: Loop
    positions: Rows


Steps = Generator[Request, Tensor, Trained]
"""The steps of a fit: yields the batch of each, takes its loss and score, returns the result of the fit."""
Part = Generator[Request, Tensor, Row]
"""The steps of one epoch, which returns its row of the history."""


def complete(steps: Steps) -> Trained:
    """Carry out all steps of one fit, and return its result."""
    with contextlib.closing(steps):
        try:
            request = next(steps)
            while True:
                request = steps.send(request.loop.step(request.positions))
        except StopIteration as end:
            trained: Trained = end.value
            return trained


class Loop:
    """The epochs of one fit.

    It asks for one step at a time (`steps`), so that whoever drives it may make the steps of several fits at
    once.

    Parameters
    ----------
    job : Job
    fabric : Fabric
    generators : dict of str to torch.Generator, optional
        What random layers draw from, by type of device; those of the process by default.

    See Also
    --------
    complete : Drives a single fit.
    committee.training.fit.together.train_together : Drives several fits.
    """

    def __init__(
        self, job: Job, fabric: Fabric, generators: Mapping[str, torch.Generator] | None = None
    ) -> None:
        self.job, self.fabric, self.settings = job, fabric, job.spec.training
        self.epochs = self.settings.epochs if job.epochs is None else job.epochs
        self.schedule = Schedule(self.settings, head_epochs(job.spec), bool(starting_weights(job.spec)))
        kept, self.inner_rows = split_rows(job)
        self.rows = job.rows[kept]
        if job.dataset.maps is not None:
            wanted = self.settings.crops_per_image
            self.rows = crops_of_epoch(self.rows, job.dataset.maps.sizes, job.spec.img_size, wanted)
        self.task, self.strata = job.dataset.task, job.dataset.strata[self.rows]
        member, self.layout = place_member(job, fabric.device)
        # The loader refers to the state and not to the loop: without a cycle, a fit is freed when it ends.
        self.state = state = FitState(job, fabric, member, generators)
        labels, scale = job.dataset.learned(self.rows), member.network.output.scale
        loss = loss_for(self.settings, self.task, job.name)
        self.loss = loss.prepare(labels, job.dataset.class_names, scale, self.settings, fabric.device)
        arrays = (job.extra.weights, job.extra.offsets)
        make_step = job.extra.step or Step
        self.backward = make_step(
            fabric,
            examples(
                member, job.spec, job.dataset, fabric.device, self.layout, self.rows, lambda: state.epoch
            ),
            tensor_of(job.dataset.labels[self.rows]).to(fabric.device),
            self.loss,
            *(None if each is None else torch.as_tensor(each[kept]).to(fabric.device) for each in arrays),
            who=job.name,
        )

    def steps(self, rollbacks: int) -> Steps:
        """Train from the start, or from the stored state of an interrupted fit.

        Parameters
        ----------
        rollbacks : int
            Number of times that the fit has diverged.
        """
        self._restore(rollbacks)
        state, count = self.state, len(self.rows)
        with (
            reported(self.job.name, state.history) as report,
            bar(self.epochs * count, f"images of {self.job.name}") as advance,
            interrupt.deferred(),
        ):
            advance(len(state.history) * count + state.batch * self.job.spec.batch_size)
            while not self._is_finished():
                row = yield from self._epoch(advance)
                state.end_epoch(row)
                report(row)
                if self.fabric.global_rank == 0:
                    log.info("%s: %s", self.job.name, describe_epoch(row, self.epochs))
                self._store()
                self._check_pace()
        return state.result()

    def _restore(self, rollbacks: int) -> None:
        """Load the newest stored state; after a rollback, that of the last completed epoch."""
        state = self.state
        stored = resume.restore(self.job.folder, self.job.fingerprint, whole=rollbacks > 0)
        if stored is not None:
            state.load_state_dict(stored)
        self.fabric.barrier()
        if rollbacks > state.rollbacks:
            state.rollbacks = rollbacks
            self._store()

    def _store(self) -> None:
        if self.fabric.global_rank == 0:
            table = columns(self.task, self.loss.score)
            resume.keep(self.job.folder, self.job.fingerprint, self.state.state_dict(), table)

    def _is_finished(self) -> bool:
        state = self.state
        done = len(state.history)
        stopped = state.best is not None and done > 0 and state.best.should_stop(done)
        # Processes that share a fit must agree, although their batch-norm statistics differ slightly.
        return bool(self.fabric.broadcast(done >= self.epochs or stopped))

    def _epoch(self, advance: Advance) -> Part:
        """Train and judge one epoch; return its row of the history."""
        state, epoch = self.state, self.state.epoch
        only_head = self.settings.body_lr == 0 or epoch <= self.schedule.head_epochs
        state.begin_epoch("head" if only_head else "all")
        loss, score = yield from self._train_epoch(advance)
        scores = self._judge()
        for tracker in state.trackers:
            tracker.epoch(epoch - self.schedule.head_epochs)
        return {
            "epoch": epoch,
            "phase": state.phase,
            "lr": state.optimizer.param_groups[0]["lr"],
            "train_loss": loss,
            f"train_{self.loss.score}": score,
            "seconds": round(state.elapsed(), 3),
            **scores,
            "rollbacks": state.rollbacks,
            "micro_batch": state.micro_batch,
        }

    def _train_epoch(self, advance: Advance) -> Generator[Request, Tensor, tuple[float, float]]:
        """Go once through the rows; return mean loss and score on the augmented images."""
        state, fabric = self.state, self.fabric
        seed = self.job.seed("order", state.epoch)
        batches = epoch_batches(self.strata, self.job.spec.batch_size, self._sampler, seed)
        for positions in batches[state.batch :]:
            self._check_interrupt()
            if self.fabric.world_size > 1 and state.batch % AGREE == 0:
                self._stop_if(bool(self.fabric.broadcast(deadline.current().is_over())))
            # The rate in the middle of the step: at its end, that of the last step would be zero.
            position = state.epoch - 1 + (state.batch + 0.5) / len(batches)
            set_rate(state.optimizer, self.schedule.rate(position, state.rollbacks))
            own = positions[fabric.global_rank :: fabric.world_size]
            result = yield Request(self, own)
            state.total.add_(result, alpha=len(own))
            state.batch += 1
            advance(len(positions))
        total = torch.as_tensor(fabric.all_reduce(state.total, reduce_op="sum"))
        loss, score = (total / len(self.rows)).tolist()
        self._require(math.isfinite(loss), f"a loss of {loss}")
        norms = torch._foreach_norm([each.detach() for each in state.network.parameters()])
        self._require(bool(torch.stack(norms).isfinite().all()), "an infinite weight")
        return loss, score

    @property
    def _sampler(self) -> str:
        """The sampler of the recipe, where the loss uses it."""
        return "shuffle" if "sampler" in self.loss.without_effect else self.settings.sampler

    def step(self, positions: Rows) -> Tensor:
        """Make one optimizer step; return loss and score of the batch, float32 `[2]`."""
        result = self._gradients(positions)
        self.update()
        self.state.fabric_optimizer.zero_grad()
        for tracker in self.state.trackers:
            tracker.step()
        return result

    def update(self) -> None:
        """Clip the gradients, and make a step of the optimizer."""
        state = self.state
        if self.settings.clip_grad is not None:
            self.fabric.clip_gradients(
                state.model,
                state.fabric_optimizer,
                max_norm=self.settings.clip_grad,
                error_if_nonfinite=False,
            )
        state.fabric_optimizer.step()

    def _gradients(self, positions: Rows) -> Tensor:
        """Compute the gradients of a batch, with fewer images at once where memory runs out."""
        state = self.state
        if self.fabric.world_size > 1:  # All processes must use the same size: `share` chooses it.
            return self.backward(state.model, positions, state.micro_batch)

        def attempt(size: int) -> Tensor:
            state.fabric_optimizer.zero_grad()
            return self.backward(state.model, positions, size)

        wanted = min(state.micro_batch, len(positions))
        result, size = halving(attempt, wanted, self.job.name)
        if size < wanted:
            state.micro_batch = size
        return result

    def _judge(self) -> dict[str, float]:
        """Score the epoch on the validation slice, if there is one."""
        job, state = self.job, self.state
        if state.best is None:
            return {}
        weights = state.weights()
        outputs = inner_outputs(
            job, state.member, weights, self.inner_rows, state.micro_batch, self._check_interrupt
        )
        self._require(bool(np.isfinite(outputs).all()), "scores that are not finite")
        scores = self.task.evaluate(outputs, job.dataset.learned(self.inner_rows), self.task.judged)
        state.best.update(state.epoch, scores, weights)
        return {f"inner_{name}": value for name, value in scores.items()}

    def _check_interrupt(self) -> None:
        """If a signal or the deadline asks the fit to end, store the state of the current epoch and stop."""
        if interrupt.requested():
            self._store()
            log.warning("%s: stopped in epoch %d; its state is stored", self.job.name, self.state.epoch)
            raise KeyboardInterrupt
        self._stop_if(self.fabric.world_size == 1 and deadline.current().is_over())

    def _stop_if(self, late: bool) -> None:
        if late:
            self._store()
            raise unfinished(f"{self.job.name} was stopped in epoch {self.state.epoch} of {self.epochs}")

    def _check_pace(self) -> None:
        """Stop after an epoch if those that are left clearly take longer than the time until the deadline.

        Nobody knows how many epochs a fit with early stopping lacks.
        """
        rows, now = self.state.history, deadline.current()
        if not now.is_set or not rows or self._is_finished():
            return
        missing = 1 if self.state.best is not None else self.epochs - len(rows)
        seconds, left = missing * rows[-1]["seconds"], now.left()
        if self.fabric.broadcast(seconds > CLEARLY * left):
            name = f"{self.job.name} was stopped after epoch {len(rows)} of {self.epochs}"
            raise unfinished(name, left, seconds)

    def _require(self, finite: bool, what: str) -> None:
        """Raise Diverged unless values are finite in the process that leads the fit."""
        if not self.fabric.broadcast(finite):
            raise Diverged(self.state.epoch, what, self.state.rollbacks)


def unfinished(what: str, left: float = 0.0, needed: float = 0.0) -> UnfinishedError:
    """Return the error of a fit that the time limit has stopped, with the seconds left and those needed."""
    todo = "Its state is stored: run the same command again, with more time, to continue it."
    return UnfinishedError(f"{what}, since {lack_of_time(left, needed)}", todo=todo)
