"""What a module returns for several batches, with which engines are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from committee.errors import CommitteeError, DataError
from committee.models._images import channels_of
from committee.models.agreement import Agreement
from committee.models.measure import device_of
from committee.models.not_finite import require_finite_inputs

Infer = Callable[[Tensor], Tensor]


OTHERS = 15
"""Largest number of the other images that engines are compared on."""


class WrongError(Exception):
    """An engine returns something else than the module.

    Attributes
    ----------
    difference : float
    """

    def __init__(self, difference: float, tolerance: float) -> None:
        self.difference = difference
        super().__init__(f"a difference of {difference:.2g}, above {tolerance:g}")


class Reference:
    """A module, and its outputs for an example and for other images of other numbers and sizes.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    example : tensor or array [B, c, H, W], or [B, ...]

    Raises
    ------
    DataError
        The module cannot take the example.

    See Also
    --------
    committee.models.planner.optimize : Compares engines with a module.

    Examples
    --------
    >>> import torch
    >>> from committee.models.engine_parity import Reference
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    >>> Reference(net, torch.rand(4, 3, 2, 2)).check(net, 1e-5)
    (0.0, False)
    """

    def __init__(self, module: nn.Module, example: Any) -> None:
        self.module, self.example = module, _tensor(example).to(device_of(module))
        self.infer: Infer = getattr(module, "infer", module)
        first, other = self._first(), _other_images(self.example)
        self._batches = [self.example, other, other[:1]]
        outputs = [first, *map(self._outputs, self._batches[1:])]
        self._sizes = 0
        with suppress(Exception):  # vectors have no size, and many networks take one size only
            smaller = other[:2, :, : max(1, 2 * other.shape[2] // 3)]
            outputs.append(self._outputs(smaller))
            self._batches.append(smaller)
            self._sizes = 1
        self._agreement = Agreement(module, outputs)

    @torch.inference_mode()
    def check(self, run: Infer, tolerance: float) -> tuple[float, bool]:
        """Compare what an engine returns with what the module returns.

        Returns
        -------
        difference : float
            The largest difference of a probability, or of a number relative to its size.
        any_size : bool
            Whether the engine also takes images of another size than the example.

        Raises
        ------
        WrongError
            The difference is above the tolerance, or a decision is another one.
        """
        largest = 0.0
        for place in range(len(self._batches) - self._sizes):
            difference, agrees = self._agreement.difference(place, run(self._batches[place]), tolerance)
            if not agrees:
                raise WrongError(difference, tolerance)
            largest = max(largest, difference)
        return largest, self._takes_other_sizes(run, tolerance)

    def _takes_other_sizes(self, run: Infer, tolerance: float) -> bool:
        place = len(self._batches) - 1
        with suppress(Exception):
            if self._sizes:
                return self._agreement.difference(place, run(self._batches[place]), tolerance)[1]
        return False

    @torch.inference_mode()
    def _outputs(self, images: Tensor) -> Tensor:
        return self.infer(images)

    def _first(self) -> Tensor:
        """Return the outputs for the example.

        Raises
        ------
        DataError
            The module cannot take it.
        """
        if self.example.ndim > 1 and len(self.example):
            require_finite_inputs("example", self.example, channels_of(self.module))
            try:
                return self._outputs(self.example)
            except CommitteeError:
                raise
            except Exception as error:
                raise _refused(self.example, str(error).partition("\n")[0]) from error
        raise _refused(self.example, "")


def _tensor(example: Any) -> Tensor:
    try:
        return torch.as_tensor(example)
    except (TypeError, ValueError, RuntimeError):
        raise DataError(
            "example",
            expected="a tensor or an array of inputs of one size",
            got=f"a {type(example).__name__}",
            todo="Give a batch as the model takes it, such as images uint8 [batch, channels, height, width].",
        ) from None


def _refused(example: Tensor, reason: str) -> DataError:
    kind = str(example.dtype).removeprefix("torch.")
    return DataError(
        "example",
        expected="a batch as the model takes it, such as images [batch, channels, height, width]",
        got=f"{kind} {[*example.shape]}{f' ({reason})' if reason else ''}",
    )


def noise(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return random inputs of a type, for preparing an engine where the images are not at hand.

    Examples
    --------
    >>> import torch
    >>> from committee.models.engine_parity import noise
    >>> noise([2, 3, 4, 4], torch.uint8, torch.device("cpu")).dtype
    torch.uint8
    """
    generator = torch.Generator().manual_seed(0)
    if dtype.is_floating_point:
        return torch.randn(*shape, generator=generator).to(device, dtype)
    return torch.randint(0, 256, tuple(shape), generator=generator).to(device, dtype)


def _other_images(example: Tensor) -> Tensor:
    """Return an odd number of other images, or other inputs, of the same kind."""
    count = 3 if len(example) < 4 else min(len(example) // 2, OTHERS) | 1
    turned = example.flip(0, *(range(2, example.ndim) or [1]))
    turned = 255 - turned if example.dtype == torch.uint8 else turned
    return turned[torch.arange(count, device=example.device) % len(example)]
