"""Steps of a fit on one device, with the attributes of a Lightning Fabric that fits use."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Value = TypeVar("Value")
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Number format of the passes of a network; the weights are float32.

    Parameters
    ----------
    device : torch.device
    form : "fp32", "bf16" or "fp16"
        The last one scales the loss, so that small gradients do not vanish.
    """

    def __init__(self, device: torch.device, form: str) -> None:
        self.device, self.type = device, _TYPES.get(form)
        self.scaler = torch.amp.GradScaler(device.type) if form == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which operations run in the number format."""
        return nullcontext() if self.type is None else torch.autocast(self.device.type, dtype=self.type)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the scaler; empty without one."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue with the state of a scaler."""
        if self.scaler is not None:
            self.scaler.load_state_dict(state)


class OneDevice:
    """Forward and backward passes and optimizer steps in one process on one device.

    It has the names of Lightning Fabric, and its results are the same to the last bit, but its import takes
    no seconds and a step no additional time.

    Parameters
    ----------
    device : torch.device
    form : "fp32", "bf16" or "fp16"
    """

    world_size, global_rank = 1, 0

    def __init__(self, device: torch.device, form: str) -> None:
        if device.type == "cuda":
            device = torch.device("cuda", device.index or 0)
            torch.cuda.set_device(device)
        self.device, self.precision = device, Precision(device, form)

    @property
    def strategy(self) -> OneDevice:
        """The object itself: where Fabric keeps `precision`."""
        return self

    def setup_module(self, module: nn.Module, move_to_device: bool = True) -> nn.Module:
        """Return a module that runs another one in the number format."""
        if move_to_device:
            module.to(self.device)
        return module if self.precision.type is None else _Cast(module, self.precision)

    def setup_optimizers(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer | _Scaled:
        """Return an optimizer that divides gradients by the scale of the loss."""
        scaler = self.precision.scaler
        return optimizer if scaler is None else _Scaled(optimizer, scaler)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which operations run in the number format."""
        return self.precision.autocast()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, times its scale, to those of the weights."""
        scaler = self.precision.scaler
        (loss if scaler is None else scaler.scale(loss)).backward()

    def clip_gradients(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer | _Scaled,
        *,
        max_norm: float,
        error_if_nonfinite: bool,
    ) -> None:
        """Scale all gradients so that their common norm is at most `max_norm`."""
        if isinstance(optimizer, _Scaled):
            optimizer = optimizer.unscaled()
        weights = [each for group in optimizer.param_groups for each in group["params"]]
        nn.utils.clip_grad_norm_(weights, max_norm, error_if_nonfinite=error_if_nonfinite)

    def no_backward_sync(self, module: nn.Module, enabled: bool = True) -> AbstractContextManager[None]:
        """Do nothing: there is no other process."""
        return nullcontext()

    def barrier(self) -> None:
        """Do nothing: there is no other process."""

    def broadcast(self, value: Value) -> Value:
        """Return the value: there is no other process."""
        return value

    def all_reduce(self, value: Tensor, reduce_op: str) -> Tensor:
        """Return the value: there is no other process."""
        return value


class _Cast(nn.Module):
    """A module in a number format, from and to float32."""

    def __init__(self, module: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.module, self.precision = module, precision

    def forward(self, images: Tensor) -> Tensor:
        with self.precision.autocast():
            found: Tensor = self.module(images.to(self.precision.type))
        return found.float()


class _Scaled:
    """An optimizer whose gradients are those of a scaled loss."""

    def __init__(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        self.optimizer, self.scaler = optimizer, scaler

    def unscaled(self) -> torch.optim.Optimizer:
        """Divide the gradients by the scale, which `step` does not repeat; return the optimizer itself."""
        self.scaler.unscale_(self.optimizer)
        return self.optimizer

    def step(self) -> None:
        """Make a step unless a gradient is not finite, and adapt the scale."""
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def zero_grad(self) -> None:
        """Remove the gradients."""
        self.optimizer.zero_grad()
