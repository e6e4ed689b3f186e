"""State of a fit: everything that its remaining steps depend on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from committee.models.member import Member
from committee.training.fit.early_stopping import BestEpoch, stopping_rule
from committee.training.fit.job import Job, Trained
from committee.training.fit.journal import Row
from committee.training.fit.optimizer import make_optimizer
from committee.training.fit.weight_trackers import MovingAverage, Weights, WeightTracker

if TYPE_CHECKING:
    from committee.training.fit.engine import Fabric


class FitState:
    """State of a fit, which `state_dict` and `load_state_dict` carry over an interruption.

    Parameters
    ----------
    job : Job
    fabric : Fabric
    member : Member
        The member at the start of the fit, on the device of `fabric`.
    generators : dict of str to torch.Generator, optional
        See below.

    Attributes
    ----------
    phase : str
        `head` while only the head is trained, `all` afterwards, empty before the first epoch.
    optimizer : torch.optim.Optimizer
        Optimizer of the phase; `model` and `fabric_optimizer` are what Fabric made of network and optimizer.
    trackers : list of WeightTracker
    best : BestEpoch or None
        The best epoch, where a validation slice judges epochs.
    history : list of mapping
        One row for each completed epoch.
    batch : int
        Completed batches of the current epoch.
    generators : dict of str to torch.Generator
        What random layers draw from, by type of device: those of the process, or of this fit alone where
        several take turns. `drawn` are their states in an interrupted epoch.
    total : float32 tensor `[2]`
        Sums of loss and score over the images of those batches.
    rollbacks : int
        Number of times that the fit has diverged.
    micro_batch : int
        Largest number of images that pass through the network at once.
    """

    def __init__(
        self,
        job: Job,
        fabric: Fabric,
        member: Member,
        generators: Mapping[str, torch.Generator] | None = None,
    ) -> None:
        self.job, self.fabric, self.member, self.network = job, fabric, member, member.network
        settings = self.settings = job.spec.training
        self.phase, self.trackers = "", list[WeightTracker]()
        self.average: MovingAverage | None = None
        rule = stopping_rule(settings, job.epochs)
        self.best = BestEpoch(rule, settings.best_checkpoint, job.dataset.task) if rule else None
        self.history, self.batch, self.seconds = list[Row](), 0, 0.0
        self.total, self.drawn = torch.zeros(2, device=fabric.device), dict[str, Tensor]()
        self.generators = generators or default_generators(fabric.device)
        self.rollbacks, self.micro_batch = 0, job.micro_batch

    @property
    def epoch(self) -> int:
        """Number of the current epoch, counted from 1."""
        return len(self.history) + 1

    def enter(self, phase: str) -> None:
        """Begin to train the head or the whole network, with a new optimizer."""
        self.phase = phase
        self.network.requires_grad_(phase == "all")
        if phase == "head":
            for parameter in self.network.head_parameters():
                parameter.requires_grad_(True)
        if phase == "all" or self.settings.body_lr == 0:
            self.trackers = [make(self.network) for make in self.job.extra.trackers]
            if self.settings.ema is not None:
                self.average = MovingAverage(self.network, self.settings.ema)
                self.trackers.append(self.average)
        parameters, head = self.network.parameters(), self.network.head_parameters()
        self.optimizer = make_optimizer(parameters, self.settings, head)
        self.model = self.fabric.setup_module(self.network, move_to_device=False)
        self.fabric_optimizer = self.fabric.setup_optimizers(self.optimizer)

    def begin_epoch(self, phase: str) -> None:
        """Begin an epoch, or continue one that was interrupted: set the generators and start the clock."""
        if phase != self.phase:
            self.enter(phase)
        # Batch norm and dropout are inactive while the head adapts to the published features.
        self.network.train(phase == "all")
        seed = self.job.seed("epoch", self.epoch)
        if self.fabric.device.type == "mps":
            torch.mps.manual_seed(seed)
        for kind, generator in self.generators.items():
            generator.manual_seed(seed)
            if self.batch and kind in self.drawn:
                generator.set_state(self.drawn[kind])
        self._started = time.perf_counter() - self.seconds

    def elapsed(self) -> float:
        """Return the seconds that the current epoch has taken, without interruptions."""
        return time.perf_counter() - self._started

    def end_epoch(self, row: Row) -> None:
        """Add the row of the current epoch to the history, and go on to the next one."""
        self.history.append(row)
        self.batch, self.seconds, self.total = 0, 0.0, torch.zeros_like(self.total)

    def weights(self) -> Weights:
        """Return the weights that the member would have if the fit ended now."""
        return self.network.state_dict() if self.average is None else self.average.weights()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as nested dicts and lists of tensors and plain values."""
        return {
            "phase": self.phase,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict() if self.phase else None,
            "trackers": [tracker.state_dict() for tracker in self.trackers],
            "best": self.best and self.best.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "generators": {kind: each.get_state() for kind, each in self.generators.items()},
            "history": [dict(row) for row in self.history],
            "batch": self.batch,
            "total": self.total,
            "seconds": self.elapsed() if self.batch else 0.0,
            "rollbacks": self.rollbacks,
            "micro_batch": self.micro_batch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned for the same fit."""
        self.network.load_state_dict(state["network"])
        if state["phase"]:
            self.enter(state["phase"])
            self.optimizer.load_state_dict(state["optimizer"])
        for tracker, values in zip(self.trackers, state["trackers"], strict=True):
            tracker.load_state_dict(values)
        if self.best is not None:
            self.best.load_state_dict(state["best"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.drawn, self.history = state["generators"], state["history"]
        self.batch, self.seconds = state["batch"], state["seconds"]
        self.total.copy_(state["total"])
        self.rollbacks = state["rollbacks"]
        # A fit that is started again for lack of memory has fewer images at once than it had before.
        self.micro_batch = min(self.micro_batch, state["micro_batch"])

    def result(self) -> Trained:
        """Return the member with its final weights, on the CPU, and the weights that trackers collected."""
        tracked = {name: weights for each in self.trackers for name, weights in each.collected().items()}
        weights, epochs = self.weights(), len(self.history)
        if self.best is not None and self.best.weights is not None:
            weights, epochs = self.best.weights, self.best.epoch
        member = self.member
        self.network.load_state_dict(weights)
        self.network.requires_grad_(True).zero_grad()
        # The same memory format as after loading, so that predictions are the same to the last bit.
        member.to("cpu").to(memory_format=torch.contiguous_format)
        member.provenance["epochs"] = epochs
        if self.rollbacks:
            member.provenance["rollbacks"] = self.rollbacks
        if self.micro_batch < self.job.spec.batch_size:
            member.provenance["micro_batch"] = self.micro_batch
        return Trained(member.eval(), tracked)


def default_generators(device: torch.device) -> dict[str, torch.Generator]:
    """Return the generators of this process that random layers on a device draw from."""
    found = {"cpu": torch.default_generator}
    if device.type == "cuda":
        torch.cuda.init()
        index = torch.cuda.current_device() if device.index is None else device.index
        found["cuda"] = torch.cuda.default_generators[index]
    return found
