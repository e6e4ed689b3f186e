"""The only epoch loop of the project."""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from committee.errors import TrainingError
from committee.images.dataset import Dataset
from committee.member import Member
from committee.metrics import evaluate
from committee.progress import bar
from committee.recipe.members import MemberSpec
from committee.training import resume
from committee.training.averaging import MovingAverage
from committee.training.batches import Rows, class_weights, epoch_batches, inner_slice
from committee.training.choosing import Choice, judges
from committee.training.engine import memory_format, number_format
from committee.training.job import Job
from committee.training.journal import Row, Tracker
from committee.training.optimiser import learning_rate, make_optimizer
from committee.training.sharing import share
from committee.training.start import Shown, start_member, starting_weights


def train(
    spec: MemberSpec,
    dataset: Dataset,
    rows: Rows,
    *,
    fold: str,
    device: torch.device,
    folder: Path | None = None,
    made_from: str = "",
    epochs: int | None = None,
) -> Member:
    """Fit one network.

    A pretrained one first learns its head alone, in evaluation mode, so that a random head does not spoil the
    rest; then all of it learns, from a fresh optimiser.

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
        Where the state is kept after each epoch, and looked for at the start. None: nowhere.
    made_from : str
        Digest of what decides the result; a kept state of another digest is not used.
    epochs : int, optional
        A fixed number of epochs on all rows, whatever `early_stop` says: the median of the folds, in a refit.

    Returns
    -------
    Member
        On the CPU, in evaluation mode. `provenance["epochs"]` is the epoch that its weights are of.

    Raises
    ------
    TrainingError
        The loss is no longer finite.
    """
    job = Job(spec, dataset, rows, fold, device, folder, made_from, epochs)
    try:
        with _generators(device):
            return share(job, fit)
    finally:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def fit(fabric: Fabric, job: Job) -> Member:
    """Carry out `job` on the devices of `fabric`."""
    return _Fit(job, fabric).run()


class _Fit:
    """A fit in progress."""

    def __init__(self, job: Job, fabric: Fabric) -> None:
        self.job, self.fabric, self.settings = job, fabric, job.spec.training
        self.epochs = self.settings.epochs if job.epochs is None else job.epochs
        self.head_epochs = self._count_head_epochs()
        self.phase, self.history, self.run_id = "", list[Row](), ""
        self.average: MovingAverage | None = None
        self._divide_rows()
        self._place_network()

    def _count_head_epochs(self) -> int:
        wanted = self.settings.head_epochs if starting_weights(self.job.spec) else 0
        return min(wanted, self.settings.epochs - 1)

    def _divide_rows(self) -> None:
        """Set the rows to learn from, and those that judge epochs."""
        job, rule = self.job, judges(self.settings, self.job.epochs)
        self.rows, self.judged, self.choice = job.rows, job.rows[:0], None
        if rule is not None:
            groups = None if job.dataset.groups is None else job.dataset.groups[job.rows]
            labels = job.dataset.labels[job.rows]
            kept, judged = inner_slice(labels, groups, rule.fraction, job.seed("inner"))
            if not len(judged):
                raise TrainingError(
                    job.name, expected="spare rows to judge epochs by", got="one group, or a row a class",
                    todo="Set training.early_stop=null and training.best_checkpoint=false.",
                )  # fmt: skip
            self.rows, self.judged = job.rows[kept], job.rows[judged]
            self.choice = Choice(rule, self.settings.best_checkpoint)
        self.labels = job.dataset.labels[self.rows]

    def _place_network(self) -> None:
        job, device = self.job, self.fabric.device
        self.member = start_member(job.spec, job.dataset, job.fold)
        self.network = self.member.network
        form = number_format(job.device, self.settings.precision)
        layout = memory_format(self.network, self.settings.channels_last, job.device, form)
        self.member.to(device)
        self.network.to(memory_format=layout)
        self.shown = Shown(self.member, job.spec, job.dataset, device, layout)
        self.targets = torch.as_tensor(self.labels).to(device)
        weights = class_weights(self.labels, job.dataset.class_names, self.settings.class_weights)
        self.weights = None if weights is None else torch.as_tensor(weights).to(device)

    def run(self) -> Member:
        """Train from the start, or from where an interrupted run came to."""
        self._restore()
        tracker = Tracker(self.job.name, self.run_id)
        self.run_id = tracker.run_id
        with bar(self.epochs * len(self.rows), self.job.name) as step:
            step(len(self.history) * len(self.rows))
            while not self._finished():
                row = self._epoch(len(self.history) + 1, step)
                self.history.append(row)
                tracker.log(row)
                self._keep()
        tracker.finish()
        return self._finish()

    def _finished(self) -> bool:
        done = len(self.history)
        stopped = self.choice is not None and done > 0 and self.choice.stop(done)
        # Processes that share a fit must agree, and batch norm's statistics differ a little between them.
        return bool(self.fabric.broadcast(done >= self.epochs or stopped))

    def _enter(self, phase: str) -> None:
        """Begin to train the head, or all: with an optimiser of its own."""
        self.phase = phase
        self.network.requires_grad_(phase == "all")
        if phase == "head":
            for parameter in self.network.head_parameters():
                parameter.requires_grad_(True)
        elif self.settings.ema is not None:
            self.average = MovingAverage(self.network, self.settings.ema)
        self.bare = make_optimizer(self.network.parameters(), self.settings)
        self.model = self.fabric.setup_module(self.network, move_to_device=False)
        self.optimizer = self.fabric.setup_optimizers(self.bare)

    def _epoch(self, epoch: int, step: Any) -> Row:
        start = time.perf_counter()
        phase = "head" if epoch <= self.head_epochs else "all"
        if phase != self.phase:
            self._enter(phase)
        # Batch norm and dropout stay still while the head learns to read the published features.
        self.network.train(phase == "all")
        torch.manual_seed(self.job.seed("epoch", epoch))
        loss, accuracy = self._pass(epoch, step)
        return {
            "epoch": epoch, "phase": phase, "lr": self.bare.param_groups[0]["lr"],
            "train_loss": loss, "train_accuracy": accuracy,
            "seconds": round(time.perf_counter() - start, 3), **self._judge(epoch),
        }  # fmt: skip

    def _pass(self, epoch: int, step: Any) -> tuple[float, float]:
        """Go once through the rows; return mean loss and accuracy, as of the varied images that it saw."""
        seed = self.job.seed("order", epoch)
        batches = epoch_batches(self.labels, self.job.spec.batch_size, self.settings.sampler, seed)
        total = torch.zeros(2, device=self.fabric.device)
        for index, positions in enumerate(batches):
            # Counted to the middle of the step: at its end, the last one would have a rate of zero.
            self._set_rate(epoch - 1 + (index + 0.5) / len(batches))
            mine = positions[self.fabric.global_rank :: self.fabric.world_size]
            total += self._step(mine, epoch) * len(mine)
            step(len(positions))
        summed = torch.as_tensor(self.fabric.all_reduce(total, reduce_op="sum"))
        mean, accuracy = (summed / len(self.rows)).tolist()
        if not math.isfinite(mean):
            raise TrainingError(
                self.job.name, expected="a finite loss", got=f"{mean} in epoch {epoch}",
                todo="Lower training.lr, or set training.clip_grad=1.0.",
            )  # fmt: skip
        return mean, accuracy

    def _set_rate(self, epoch: float) -> None:
        if self.phase == "all":
            horizon = self.settings.epochs - self.head_epochs
            rate = learning_rate(self.settings, epoch - self.head_epochs, horizon)
            for group in self.bare.param_groups:
                group["lr"] = rate

    def _step(self, positions: Rows, epoch: int) -> Tensor:
        """Learn from one batch; return its loss and accuracy, float32 `[2]`."""
        logits = self.model(self.shown.batch(self.rows[positions], epoch))
        labels = self.targets[torch.from_numpy(positions)]
        loss = functional.cross_entropy(
            logits, labels, self.weights, label_smoothing=self.settings.label_smoothing
        )
        self.fabric.backward(loss)
        if self.settings.clip_grad is not None:
            self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.settings.clip_grad, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update()
        return torch.stack([loss.detach(), (logits.argmax(1) == labels).float().mean()])

    def _current(self) -> dict[str, Tensor]:
        """Return the weights that the member would have now."""
        return self.network.state_dict() if self.average is None else self.average.weights()

    def _judge(self, epoch: int) -> dict[str, float]:
        """Score the epoch on the inner slice, where there is one."""
        if self.choice is None:
            return {}
        weights = self._current()
        scores = evaluate(self._inner_log_probs(weights), self.job.dataset.labels[self.judged],
                          ["log_loss", "accuracy", "f1_macro"])  # fmt: skip
        self.choice.judge(epoch, scores, weights)
        return {f"inner_{name}": value for name, value in scores.items()}

    @torch.no_grad()
    def _inner_log_probs(self, weights: dict[str, Tensor]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.network.eval()
        parts = []
        for start in range(0, len(self.judged), self.job.spec.batch_size):
            pixels = self.job.dataset.images(self.judged[start : start + self.job.spec.batch_size])
            images = self.member.view(pixels.to(self.fabric.device))
            parts.append(
                functional_call(self.network, weights, (images,)).float().log_softmax(1).cpu().numpy()
            )
        return np.concatenate(parts)

    def _keep(self) -> None:
        if self.job.folder is None or self.fabric.global_rank > 0:
            return
        state = {
            "phase": self.phase, "network": self.network.state_dict(), "optimizer": self.bare.state_dict(),
            "average": self.average and self.average.state(), "choice": self.choice and self.choice.state(),
            "precision": self.fabric.strategy.precision.state_dict(),
        }  # fmt: skip
        resume.keep(self.job.folder, self.job.made_from, state, self.history, self.run_id)

    def _restore(self) -> None:
        found = self.job.folder and resume.restore(self.job.folder, self.job.made_from)
        if not found:
            return
        state, self.run_id = found
        self.network.load_state_dict(state["network"])
        self._enter(state["phase"])
        self.bare.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.restore(state["average"])
        if self.choice is not None:
            self.choice.restore(state["choice"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.history = state["history"]

    def _finish(self) -> Member:
        """Return the member with the weights that were chosen."""
        weights, epoch = self._current(), len(self.history)
        if self.choice is not None and self.choice.weights is not None:
            weights, epoch = self.choice.weights, self.choice.epoch
        self.network.load_state_dict(weights)
        self.network.requires_grad_(True).zero_grad()
        # As it will be when it is loaded again: predictions then agree to the last bit.
        self.member.to("cpu").to(memory_format=torch.contiguous_format)
        self.member.provenance["epochs"] = epoch
        return self.member.eval()


@contextlib.contextmanager
def _generators(device: torch.device) -> Iterator[None]:
    """Leave torch's global generators as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
