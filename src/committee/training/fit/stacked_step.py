"""Steps of several fits as one: one forward and one backward pass for networks of one architecture."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from committee.models.stacked.alike import NotStackable, difference
from committee.models.stacked.stack import Stack
from committee.training.fit.batches import Rows
from committee.training.fit.input_errors import as_training_error
from committee.training.fit.joint_update import JointUpdate
from committee.training.fit.loop import Loop, Request
from committee.training.fit.one_device import OneDevice
from committee.training.fit.steps import Step

SHARED = ("optimizer", "momentum", "clip_grad", "precision")
"""Settings of training that fits have in common."""


class StackedStep:
    """Makes one step of several fits, each with its own batch, loss, gradient norm and learning rate.

    While it is open, the parameters of the networks are views of those of a `Stack`.

    Parameters
    ----------
    requests : sequence of Request
        The next batch of each fit. All have the same shape, and the fits are in the same phase.

    Raises
    ------
    NotStackable
        The fits cannot make their steps as one; the message contains the reason.

    See Also
    --------
    committee.models.stacked.stack.Stack : The forward pass.
    JointUpdate : The step of the optimizers.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        self.loops = [request.loop for request in requests]
        if reason := why_not(self.loops):
            raise NotStackable(reason)
        first = requests[0]
        fabric = first.loop.fabric
        assert isinstance(fabric, OneDevice)
        self.precision = fabric.precision
        images, _ = first.loop.backward.loader(first.positions)
        try:
            # Compared with the networks alone in float32, since rounding to bf16 differs by more.
            self.stack = Stack([loop.state.network for loop in self.loops], images)
        except BaseException:
            self._restore(self.loops)
            raise
        self.stack.generators = [loop.state.generators[fabric.device.type] for loop in self.loops]
        for loop in self.loops:
            _match_moments(loop.state.optimizer)
        self._update: JointUpdate | None = None

    def __call__(self, positions: Sequence[Rows]) -> list[Tensor]:
        """Make a step of each fit; return loss and score of each, float32 `[2]`.

        Parameters
        ----------
        positions : sequence of int64 `[B]`
            Positions of each fit, all as many.
        """
        results = self._gradients(positions)
        optimizers = [loop.state.optimizer for loop in self.loops]
        if self._update is not None and self._update.optimizers == optimizers:
            self._update()
        else:
            self._update = self._first_update(optimizers)
        self.stack.zero_grad()
        for loop in self.loops:
            for tracker in loop.state.trackers:
                tracker.step()
        return results

    def close(self, going_on: Collection[Loop]) -> None:
        """Give each network its own memory again, in the memory format of its fit if that goes on."""
        self.stack.unstack()
        self._restore(going_on)

    def _restore(self, going_on: Collection[Loop]) -> None:
        for loop in self.loops:
            if loop in going_on:
                loop.state.network.to(memory_format=loop.layout)
                _match_moments(loop.state.optimizer)

    def _gradients(self, positions: Sequence[Rows]) -> list[Tensor]:
        found = [loop.backward.loader(rows) for loop, rows in zip(self.loops, positions, strict=True)]
        images = torch.stack([each for each, _ in found])
        judged = list[tuple[Tensor, Tensor]]()
        with as_training_error(self.loops[0].job.name, images.shape[1:]):
            with self.precision.autocast():
                outputs = self.stack(self._cast(images), shared=False).float().unbind()
            for loop, output, (_, labels), rows in zip(self.loops, outputs, found, positions, strict=True):
                judged.append(loop.backward.judge(output, labels, rows))
            torch.autograd.backward([loss for loss, _ in judged])
        return [result for _, result in judged]

    def _cast(self, images: Tensor) -> Tensor:
        return images if self.precision.type is None else images.to(self.precision.type)

    def _first_update(self, optimizers: list[torch.optim.Optimizer]) -> JointUpdate:
        """Let each optimizer make a step of its own, in which it makes its state."""
        leaves, networks = list(self.stack.parameters()), [loop.state.network for loop in self.loops]
        unused = [leaf.grad is None for leaf in leaves]
        self.stack.link_gradients()
        for absent, *same in zip(unused, leaves, *(each.parameters() for each in networks), strict=True):
            if absent:
                # Its gradient of zeros would be no gradient alone, and so no decay of the weights.
                for parameter in same:
                    parameter.grad = None
        for loop in self.loops:
            loop.update()
        return JointUpdate(optimizers, self.loops[0].settings.clip_grad)


def why_not(loops: Sequence[Loop]) -> str:
    """Return why fits cannot make their steps as one, as part of a sentence; "" if they may."""
    first, *others = loops
    settings = first.settings
    if any(type(loop.backward) is not Step for loop in loops):
        return "a loss that needs more than the outputs of one network"
    if settings.precision == "fp16":
        return "gradients that are scaled for fp16"
    for other in others:
        for key in SHARED:
            if getattr(other.settings, key) != getattr(settings, key):
                return f"different values of training.{key}"
        if reason := difference(first.state.network, other.state.network):
            return f"different networks: {reason}"
    return ""


def _match_moments(optimizer: torch.optim.Optimizer) -> None:
    """Give the moments of parameters their strides, on which fused kernels rely."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)
