"""What goes along with a network's weights while it trains, and becomes members of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


class Follower(ABC):
    """Follows the weights of a network from where all of it begins to learn.

    Parameters
    ----------
    network : nn.Module
        Whose weights are followed.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def step(self) -> None:  # noqa: B027, most follow one of the two
        """Take in that the optimizer made a step."""

    def epoch(self, epoch: int) -> None:  # noqa: B027
        """Take in that an epoch, counted from 1 where all of the network learns, has ended."""

    @abstractmethod
    def found(self) -> dict[str, Weights]:
        """Return name -> state dict, of each member that came of it."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a kept state."""


Follow = Callable[[nn.Module], Follower]


class MovingAverage(Follower):
    """An exponential moving average of weights and of batch norm's statistics: EMA.

    Parameters
    ----------
    network : nn.Module
    decay : float
        Share of the average that a step keeps; smaller in the first steps, when it is mostly the start:
        `min(decay, (1 + step) / (10 + step))`.

    Notes
    -----
    Statistics are averaged like weights: those of the last step belong to other weights than the average's.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network)
        self.decay, self.steps = decay, 0
        self.values = _copy(network.state_dict())
        current = network.state_dict()
        self._floats = [name for name, value in self.values.items() if value.is_floating_point()]
        self._pairs = (
            [self.values[name] for name in self._floats],
            [current[name] for name in self._floats],
        )

    @torch.no_grad()
    def step(self) -> None:
        """Take a step's weights into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(*self._pairs, 1 - decay)

    def weights(self) -> Weights:
        """Return the averaged state dict; counters are the network's own."""
        return {**self.network.state_dict(), **{name: self.values[name] for name in self._floats}}

    def found(self) -> dict[str, Weights]:
        """Return the average, as `ema`."""
        return {"ema": self.weights()}

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        return {"steps": self.steps, "values": self.values}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a kept state."""
        self.steps = int(state["steps"])
        for name, value in state["values"].items():
            self.values[name].copy_(value)


class TailAverage(Follower):
    """The mean of the weights at the end of each of the last epochs: SWA (Izmailov et al. 2018).

    Parameters
    ----------
    network : nn.Module
    start : int
        First epoch that counts.

    Notes
    -----
    Batch norm's statistics are averaged too, and belong to no network: estimate them again.
    """

    def __init__(self, network: nn.Module, start: int) -> None:
        super().__init__(network)
        self.start, self.count = start, 0
        self.values: Weights = {}

    @torch.no_grad()
    def epoch(self, epoch: int) -> None:
        """Take the weights at the end of an epoch into the mean."""
        if epoch < self.start:
            return
        self.count += 1
        if not self.values:
            self.values = _copy(self.network.state_dict())
            return
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 / self.count)

    def found(self) -> dict[str, Weights]:
        """Return the mean, as `swa`; nothing where no epoch counted."""
        return {"swa": self.values} if self.values else {}

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        return {"count": self.count, "values": self.values}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a kept state."""
        self.count, self.values = int(state["count"]), _onto(self.network, state["values"])


class Snapshots(Follower):
    """Copies of the weights at the end of each cycle of the learning rate (Huang et al. 2017).

    Parameters
    ----------
    network : nn.Module
    cycle : int
        Epochs of a cycle.
    """

    def __init__(self, network: nn.Module, cycle: int) -> None:
        super().__init__(network)
        self.cycle = cycle
        self.copies: list[Weights] = []

    def epoch(self, epoch: int) -> None:
        """Copy the weights where a cycle ends."""
        if epoch % self.cycle == 0:
            self.copies.append(
                {name: value.cpu() for name, value in _copy(self.network.state_dict()).items()}
            )

    def found(self) -> dict[str, Weights]:
        """Return the copies, as `1`, `2`, ..."""
        return {str(index): weights for index, weights in enumerate(self.copies, 1)}

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        return {"copies": self.copies}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a kept state."""
        self.copies = list(state["copies"])


def _copy(weights: Weights) -> Weights:
    return {name: value.detach().clone() for name, value in weights.items()}


def _onto(network: nn.Module, weights: Weights) -> Weights:
    """Bring kept weights to where the network's are."""
    own = network.state_dict()
    return {name: value.to(own[name].device) for name, value in weights.items()}
