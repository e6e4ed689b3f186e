"""Weights that are collected while a network is trained, and become members of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]
"""A state dict."""


class WeightTracker(ABC):
    """Collects weights of a network during its training.

    The steps and epochs in which only the head is trained are left out.

    Parameters
    ----------
    network : nn.Module
        The network that is trained.

    See Also
    --------
    MovingAverage : Exponential moving average over all steps (EMA).
    TailAverage : Mean over the last epochs (SWA).
    Snapshots : Copies at the end of each cycle.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def step(self) -> None:  # noqa: B027, most trackers override one of the two
        """Update after a step of the optimizer."""

    def epoch(self, epoch: int) -> None:  # noqa: B027
        """Update after an epoch, counted from 1, the first in which the whole network is trained."""

    @abstractmethod
    def collected(self) -> dict[str, Weights]:
        """Return the collected state dicts by name."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return the state, for `load_state_dict`."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""


MakeTracker = Callable[[nn.Module], WeightTracker]


class MovingAverage(WeightTracker):
    """Exponential moving average of weights and of batch-norm statistics (EMA).

    Parameters
    ----------
    network : nn.Module
    decay : float
        Share of the average that is kept in a step. It is smaller in the first steps, in which the average
        consists mostly of the initial weights: `min(decay, (1 + step) / (10 + step))`.

    See Also
    --------
    TailAverage : Mean over the last epochs.

    Notes
    -----
    Batch-norm statistics are averaged like weights: those of the last step belong to other weights.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Linear(1, 1)
    >>> average = MovingAverage(layer, decay=0.9)
    >>> average.step()
    >>> sorted(average.collected()["ema"])
    ['bias', 'weight']
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network)
        self.decay, self.steps = decay, 0
        self.values = _copy(network.state_dict())
        current = network.state_dict(keep_vars=True)  # The tensors, whose memory a stack may replace.
        self._floats = [name for name, value in self.values.items() if value.is_floating_point()]
        self._pairs = (
            [self.values[name] for name in self._floats],
            [current[name] for name in self._floats],
        )

    @torch.no_grad()
    def step(self) -> None:
        """Add the weights after a step to the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(*self._pairs, 1 - decay)

    def weights(self) -> Weights:
        """Return the averaged state dict; integer counters are those of the network."""
        return {**self.network.state_dict(), **{name: self.values[name] for name in self._floats}}

    def collected(self) -> dict[str, Weights]:
        """Return the average under the name `ema`."""
        return {"ema": self.weights()}

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for `load_state_dict`."""
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.steps = int(state["steps"])
        for name, value in state["values"].items():
            self.values[name].copy_(value)


class TailAverage(WeightTracker):
    """Mean of the weights at the ends of the last epochs: SWA (Izmailov et al. 2018).

    Parameters
    ----------
    network : nn.Module
    start : int
        First epoch that is averaged.

    See Also
    --------
    MovingAverage : Exponential moving average over all steps.
    committee.training.fit.batch_norm.recompute : Estimate batch-norm statistics for averaged weights.

    Notes
    -----
    The averaged batch-norm statistics do not belong to the averaged weights and must be estimated again.

    Examples
    --------
    >>> import torch
    >>> average = TailAverage(torch.nn.Linear(1, 1), start=3)
    >>> for epoch in (1, 2, 3, 4):
    ...     average.epoch(epoch)
    >>> average.count
    2
    """

    def __init__(self, network: nn.Module, start: int) -> None:
        super().__init__(network)
        self.start, self.count = start, 0
        self.values: Weights = {}

    @torch.no_grad()
    def epoch(self, epoch: int) -> None:
        """Add the weights at the end of an epoch to the mean."""
        if epoch < self.start:
            return
        self.count += 1
        if not self.values:
            self.values = _copy(self.network.state_dict())
            return
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 / self.count)

    def collected(self) -> dict[str, Weights]:
        """Return the mean under the name `swa`, or nothing before the first averaged epoch."""
        return {"swa": self.values} if self.values else {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for `load_state_dict`."""
        return {"count": self.count, "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.count, self.values = int(state["count"]), _moved(state["values"], self.network)


class Snapshots(WeightTracker):
    """Copies of the weights at the end of each cycle of the learning rate (Huang et al. 2017).

    Parameters
    ----------
    network : nn.Module
    cycle : int
        Epochs of a cycle.

    See Also
    --------
    committee.training.plans.snapshot.Snapshot : The plan that combines the copies.

    Examples
    --------
    >>> import torch
    >>> snapshots = Snapshots(torch.nn.Linear(1, 1), cycle=2)
    >>> for epoch in (1, 2, 3, 4):
    ...     snapshots.epoch(epoch)
    >>> list(snapshots.collected())
    ['1', '2']
    """

    def __init__(self, network: nn.Module, cycle: int) -> None:
        super().__init__(network)
        self.cycle = cycle
        self.copies: list[Weights] = []

    def epoch(self, epoch: int) -> None:
        """Copy the weights if a cycle ends with this epoch."""
        if epoch % self.cycle == 0:
            self.copies.append(
                {name: value.cpu() for name, value in _copy(self.network.state_dict()).items()}
            )

    def collected(self) -> dict[str, Weights]:
        """Return the copies under the names `1`, `2`, ..."""
        return {str(index): weights for index, weights in enumerate(self.copies, 1)}

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for `load_state_dict`."""
        return {"copies": self.copies}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.copies = list(state["copies"])


def _copy(weights: Weights) -> Weights:
    return {name: value.detach().clone() for name, value in weights.items()}


def _moved(weights: Weights, network: nn.Module) -> Weights:
    """Return weights on the devices of a network's own."""
    own = network.state_dict()
    return {name: value.to(own[name].device) for name, value in weights.items()}
