"""The only epoch loop of the project."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from committee.base import interrupt
from committee.base.progress import bar
from committee.errors import TrainingError
from committee.images.dataset import Dataset
from committee.metrics.classification import evaluate
from committee.recipe.members import MemberSpec
from committee.training.fit import resume
from committee.training.fit.batches import Rows, class_weights, epoch_batches
from committee.training.fit.early_stopping import Choice, divide, inner_log_probs, judges
from committee.training.fit.engine import memory_format, number_format
from committee.training.fit.job import Extra, Job, Trained
from committee.training.fit.journal import Row, Tracker
from committee.training.fit.memory import halving, no_memory, ran_out_of_memory
from committee.training.fit.optimizer import learning_rate, make_optimizer
from committee.training.fit.rollback import Diverged, lower, rate
from committee.training.fit.sharing import share
from committee.training.fit.start import BatchLoader, start_member, starting_weights
from committee.training.fit.steps import Step
from committee.training.fit.weight_trackers import Follower, MovingAverage

log = logging.getLogger(__name__)


def train(
    spec: MemberSpec,
    dataset: Dataset,
    rows: Rows,
    *,
    fold: str,
    device: torch.device,
    folder: Path | None = None,
    fingerprint: str = "",
    epochs: int | None = None,
    extra: Extra | None = None,
) -> Trained:
    """Fit one network.

    A pretrained one first learns its head alone, in evaluation mode, so that a random head does not spoil the
    rest; then all of it learns, from a fresh optimizer.

    Parameters
    ----------
    spec : MemberSpec
        Backbone and settings.
    dataset : Dataset
    rows : int64 `[N]`
        Rows of the data set to learn from. Early stopping and the best checkpoint judge on some of these.
    fold : str
        `fold_0`, ..., or `refit`: which of the member's fits this is; its randomness follows from it.
    device : torch.device
        `cuda` without a number is all GPUs that are visible.
    folder : Path, optional
        Where the state is kept after each epoch, and looked for at the start. None: for the time of the fit.
    fingerprint : str
        Digest of what decides the result; a kept state of another digest is not used.
    epochs : int, optional
        A fixed number of epochs on all rows, whatever `early_stop` says: the median of the folds, in a refit.
    extra : Extra, optional
        What a plan adds.

    Returns
    -------
    Trained
        On the CPU, in evaluation mode. `member.provenance["epochs"]` is the epoch that its weights are of.

    Raises
    ------
    TrainingError
        The loss is no longer finite, however low the learning rate; memory does not suffice for one image; or
        the network cannot take the images.
    KeyboardInterrupt
        A signal asked for the end; the state is kept.
    """
    try:
        with _generators(device), tempfile.TemporaryDirectory() as temporary:
            place = folder or Path(temporary) / "state"
            job = Job(
                spec,
                dataset,
                rows,
                fold,
                device,
                place,
                fingerprint,
                epochs,
                spec.batch_size,
                extra or Extra(),
            )
            return share(job, fit)
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error) or isinstance(error, TrainingError):
            raise
        raise no_memory(job.name, "the network and its optimizer", error) from error
    finally:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def fit(fabric: Fabric, job: Job) -> Trained:
    """Carry out `job` on the devices of `fabric`."""
    scale = dict(fabric.strategy.precision.state_dict())
    rollbacks = 0
    while True:
        try:
            return _Fit(job, fabric, rollbacks).run()
        except Diverged as error:
            what = lower(error, job.name, job.spec.training.lr)
            if fabric.global_rank == 0:
                log.warning(what)
            rollbacks = error.rollbacks + 1
        gc.collect()
        fabric.strategy.precision.load_state_dict(scale)


class _Fit:
    """A fit in progress."""

    def __init__(self, job: Job, fabric: Fabric, rollbacks: int) -> None:
        self.job, self.fabric, self.settings = job, fabric, job.spec.training
        self.rollbacks, self.micro_batch = rollbacks, job.micro_batch
        self.epochs = self.settings.epochs if job.epochs is None else job.epochs
        self.frozen = self.settings.body_lr == 0
        self.head_epochs = self._count_head_epochs()
        self.phase, self.history, self.run_id = "", list[Row](), ""
        self.batch, self.seconds, self.generators = 0, 0.0, dict[str, Tensor]()
        self.average: MovingAverage | None = None
        self.followers: list[Follower] = []
        self.rows, self.judged = divide(job)
        self.labels = job.dataset.labels[self.rows]
        rule = judges(self.settings, job.epochs)
        self.choice = Choice(rule, self.settings.best_checkpoint) if rule else None
        self._place_network()

    def _count_head_epochs(self) -> int:
        wanted = self.settings.head_epochs if starting_weights(self.job.spec) and not self.frozen else 0
        return min(wanted, self.settings.epochs - 1)

    def _place_network(self) -> None:
        job, device = self.job, self.fabric.device
        self.member = (job.extra.begin or partial(start_member, job.spec, job.dataset, job.fold))()
        self.network = self.member.network
        form = number_format(job.device, self.settings.precision)
        layout = memory_format(self.network, self.settings.channels_last, job.device, form)
        self.member.to(device)
        self.network.to(memory_format=layout)
        self.loader = BatchLoader(self.member, job.spec, job.dataset, device, layout)
        weights = class_weights(self.labels, job.dataset.class_names, self.settings.class_weights)
        extra = (weights, job.extra.weights, job.extra.offsets)
        self.learn = Step(
            self.fabric,
            self._images,
            torch.as_tensor(self.labels).to(device),
            *(None if each is None else torch.as_tensor(each).to(device) for each in extra),
            smoothing=self.settings.label_smoothing,
            who=job.name,
        )
        self.total = torch.zeros(2, device=device)

    def run(self) -> Trained:
        """Train from the start, or from where an interrupted run came to."""
        self._restore()
        with (
            Tracker(self.job.name, self.run_id) as tracker,
            bar(self.epochs * len(self.rows), self.job.name) as step,
            interrupt.deferred(),
        ):
            self.run_id = tracker.run_id
            step(len(self.history) * len(self.rows) + self.batch * self.job.spec.batch_size)
            while not self._finished():
                row = self._epoch(len(self.history) + 1, step)
                self.history.append(row)
                tracker.log(row)
                self._keep()
        return self._finish()

    def _finished(self) -> bool:
        done = len(self.history)
        stopped = self.choice is not None and done > 0 and self.choice.stop(done)
        # Processes that share a fit must agree, and batch norm's statistics differ a little between them.
        return bool(self.fabric.broadcast(done >= self.epochs or stopped))

    def _enter(self, phase: str) -> None:
        """Begin to train the head, or all: with an optimizer of its own."""
        self.phase = phase
        self.network.requires_grad_(phase == "all")
        if phase == "head":
            for parameter in self.network.head_parameters():
                parameter.requires_grad_(True)
        if phase == "all" or self.frozen:
            self.followers = [make(self.network) for make in self.job.extra.follow]
            if self.settings.ema is not None:
                self.average = MovingAverage(self.network, self.settings.ema)
                self.followers.append(self.average)
        self.bare = make_optimizer(self.network.parameters(), self.settings, self.network.head_parameters())
        self.model = self.fabric.setup_module(self.network, move_to_device=False)
        self.optimizer = self.fabric.setup_optimizers(self.bare)

    def _epoch(self, epoch: int, step: Any) -> Row:
        phase = "head" if self.frozen or epoch <= self.head_epochs else "all"
        if phase != self.phase:
            self._enter(phase)
        # Batch norm and dropout stay still while the head learns to read the published features.
        self.network.train(phase == "all")
        self._seed(epoch)
        self.start = time.perf_counter() - self.seconds
        loss, accuracy = self._pass(epoch, step)
        for follower in self.followers:
            follower.epoch(epoch - self.head_epochs)
        scores = self._judge(epoch)
        seconds = time.perf_counter() - self.start
        self.batch, self.seconds, self.total = 0, 0.0, torch.zeros_like(self.total)
        return {
            "epoch": epoch,
            "phase": phase,
            "lr": self.bare.param_groups[0]["lr"],
            "train_loss": loss,
            "train_accuracy": accuracy,
            "seconds": round(seconds, 3),
            **scores,
            "rollbacks": self.rollbacks,
            "micro_batch": self.micro_batch,
        }

    def _seed(self, epoch: int) -> None:
        """Set the generators for an epoch, or for what an interrupted run left of it."""
        torch.manual_seed(self.job.seed("epoch", epoch))
        if self.batch:
            torch.set_rng_state(self.generators["cpu"])
            if "cuda" in self.generators:
                torch.cuda.set_rng_state(self.generators["cuda"], self.fabric.device)

    def _pass(self, epoch: int, step: Any) -> tuple[float, float]:
        """Go once through the rows; return mean loss and accuracy, as of the varied images that it saw."""
        seed = self.job.seed("order", epoch)
        batches = epoch_batches(self.labels, self.job.spec.batch_size, self.settings.sampler, seed)
        for positions in batches[self.batch :]:
            self.check_interrupt()
            # Counted to the middle of the step: at its end, the last one would have a rate of zero.
            self._set_rate(epoch - 1 + (self.batch + 0.5) / len(batches))
            mine = positions[self.fabric.global_rank :: self.fabric.world_size]
            self.total += self._step(mine) * len(mine)
            self.batch += 1
            step(len(positions))
        summed = torch.as_tensor(self.fabric.all_reduce(self.total, reduce_op="sum"))
        mean, accuracy = (summed / len(self.rows)).tolist()
        self._check(math.isfinite(mean), f"a loss of {mean}")
        norms = torch._foreach_norm([each.detach() for each in self.network.parameters()])
        self._check(bool(torch.stack(norms).isfinite().all()), "a weight without end")
        return mean, accuracy

    def check_interrupt(self) -> None:
        """Where a signal asked for it, keep the state in mid-epoch and stop."""
        if interrupt.requested():
            self._keep()
            log.warning("%s: stopped in epoch %d and kept", self.job.name, len(self.history) + 1)
            raise KeyboardInterrupt

    def _check(self, sound: bool, what: str) -> None:
        if not self.fabric.broadcast(sound):
            raise Diverged(len(self.history) + 1, what, self.rollbacks)

    def _set_rate(self, epoch: float) -> None:
        wanted = self.settings.lr
        if len(self.history) >= self.head_epochs:
            horizon = self.settings.epochs - self.head_epochs
            wanted = learning_rate(self.settings, epoch - self.head_epochs, horizon)
        for group in self.bare.param_groups:
            group["lr"] = rate(wanted, self.rollbacks) * group["lr_scale"]

    def _images(self, positions: Rows) -> Tensor:
        return self.loader.batch(self.rows[positions], len(self.history) + 1)

    def _step(self, positions: Rows) -> Tensor:
        """Learn from one batch; return its loss and accuracy, float32 `[2]`."""
        result = self._gradients(positions)
        if self.settings.clip_grad is not None:
            self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.settings.clip_grad, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        for follower in self.followers:
            follower.step()
        return result

    def _gradients(self, positions: Rows) -> Tensor:
        if self.fabric.world_size > 1:  # which must all do the same: `share` takes care of memory
            return self.learn(self.model, positions, self.micro_batch)

        def attempt(size: int) -> Tensor:
            self.optimizer.zero_grad()
            return self.learn(self.model, positions, size)

        wanted = min(self.micro_batch, len(positions))
        result, size = halving(attempt, wanted, self.job.name)
        if size < wanted:
            self.micro_batch = size
        return result

    def _current(self) -> dict[str, Tensor]:
        """Return the weights that the member would have now."""
        return self.network.state_dict() if self.average is None else self.average.weights()

    def _judge(self, epoch: int) -> dict[str, float]:
        """Score the epoch on the inner slice, where there is one."""
        if self.choice is None:
            return {}
        weights = self._current()
        log_probs = inner_log_probs(
            self.job, self.member, weights, self.judged, self.micro_batch, self.check_interrupt
        )
        self._check(bool(np.isfinite(log_probs).all()), "scores that are no numbers")
        scores = evaluate(
            log_probs, self.job.dataset.labels[self.judged], ["log_loss", "accuracy", "f1_macro"]
        )
        self.choice.judge(epoch, scores, weights)
        return {f"inner_{name}": value for name, value in scores.items()}

    def _keep(self) -> None:
        """Keep all that the rest of the fit follows from; in mid-epoch also how far that has come."""
        if self.fabric.global_rank > 0:
            return
        generators = {"cpu": torch.get_rng_state()}
        if self.fabric.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(self.fabric.device)
        state = {
            "phase": self.phase,
            "network": self.network.state_dict(),
            "optimizer": self.bare.state_dict() if self.phase else None,
            "followers": [follower.state() for follower in self.followers],
            "choice": self.choice and self.choice.state(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "rollbacks": self.rollbacks,
            "micro_batch": self.micro_batch,
            "generators": generators,
            "batch": self.batch,
            "total": self.total,
            "seconds": time.perf_counter() - self.start if self.batch else 0.0,
        }
        job = self.job
        resume.keep(job.folder, job.fingerprint, state, self.history, self.run_id, self.batch)

    def _restore(self) -> None:
        """Go on from the newest kept state; in a rollback, from the last good epoch, now the newest."""
        found = resume.restore(self.job.folder, self.job.fingerprint, whole=self.rollbacks > 0)
        before = 0
        if found:
            state, self.run_id = found
            before = state["rollbacks"]
            self._take(state)
        self.fabric.barrier()
        if self.rollbacks > before:
            self._keep()

    def _take(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if state["phase"]:
            self._enter(state["phase"])
            self.bare.load_state_dict(state["optimizer"])
        for follower, kept in zip(self.followers, state["followers"], strict=True):
            follower.restore(kept)
        if self.choice is not None:
            self.choice.restore(state["choice"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.history, self.generators = state["history"], state["generators"]
        self.batch, self.seconds = state["batch"], state["seconds"]
        self.total.copy_(state["total"])
        self.rollbacks = max(self.rollbacks, state["rollbacks"])
        self.micro_batch = min(self.micro_batch, state["micro_batch"])

    def _finish(self) -> Trained:
        """Return the member with the weights that were chosen, and what followed them."""
        found = {name: weights for each in self.followers for name, weights in each.found().items()}
        weights, epoch = self._current(), len(self.history)
        if self.choice is not None and self.choice.weights is not None:
            weights, epoch = self.choice.weights, self.choice.epoch
        self.network.load_state_dict(weights)
        self.network.requires_grad_(True).zero_grad()
        # As it will be when it is loaded again: predictions then agree to the last bit.
        self.member.to("cpu").to(memory_format=torch.contiguous_format)
        self.member.provenance["epochs"] = epoch
        if self.rollbacks:
            self.member.provenance["rollbacks"] = self.rollbacks
        if self.micro_batch < self.job.spec.batch_size:
            self.member.provenance["micro_batch"] = self.micro_batch
        return Trained(self.member.eval(), found)


@contextlib.contextmanager
def _generators(device: torch.device) -> Iterator[None]:
    """Leave torch's global generators as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
