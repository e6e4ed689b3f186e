"""The moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MovingAverage:
    """An exponential moving average of weights and of batch norm's statistics.

    Parameters
    ----------
    network : nn.Module
        Whose weights are followed.
    decay : float
        Share of the average that a step keeps; smaller in the first steps, when it is mostly the start:
        `min(decay, (1 + step) / (10 + step))`.

    Notes
    -----
    Statistics are averaged like weights: those of the last step belong to other weights than the average's.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay, self.steps = network, decay, 0
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}
        current = network.state_dict()
        self._floats = [name for name, value in self.values.items() if value.is_floating_point()]
        self._pairs = (
            [self.values[name] for name in self._floats], [current[name] for name in self._floats],
        )  # fmt: skip

    @torch.no_grad()
    def update(self) -> None:
        """Take a step's weights into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(*self._pairs, 1 - decay)

    def weights(self) -> dict[str, Tensor]:
        """Return the averaged state dict; counters are the network's own."""
        return {**self.network.state_dict(), **{name: self.values[name] for name in self._floats}}

    def state(self) -> dict[str, object]:
        """Return what `restore` takes."""
        return {"steps": self.steps, "values": self.values}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from a kept state."""
        self.steps = int(state["steps"])  # type: ignore[call-overload]
        for name, value in state["values"].items():  # type: ignore[attr-defined]
            self.values[name].copy_(value)
