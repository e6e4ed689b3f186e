"""What networks return: where the logits or numbers are, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from committee.errors import UsageError

LARGEST_STRIDE = 2**10
SMALLEST_VARIANCE = 1e-6
"""Smallest variance of a standardized number, as by Lakshminarayanan et al. (2017)."""
TINY = float(torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class Output:
    """How the output of a network becomes logits `[B, C]`, or numbers in the unit of their target.

    Parameters
    ----------
    item : str or int, optional
        Which value of a mapping, a sequence or an object has the logits. The value `logits`, if there is one,
        needs no name.
    probabilities : bool
        Whether the network returns probabilities, of which the logarithm is used: its softmax are the
        probabilities again, divided by their sum.
    shift, scale : sequence of float, length T or 0
        Numbers are what the network returns, times `scale`, plus `shift`: the standard deviations and the
        means of the targets, if the network was trained on standardized targets.
    variance : bool
        Whether the network returns 2T numbers: one for each target, then one for the variance of each, of
        which the softplus is the variance of the standardized target.
    maps : bool
        Whether the network returns maps: logits or numbers of each pixel, `[B, C, h, w]`.
    resized : bool
        Whether the maps have another height and width than the images, to which they are resized bilinearly.
    stride : int
        Height and width of the images of a network of maps are multiples of it.

    See Also
    --------
    inspect : Find out how a network has to be read.

    Examples
    --------
    >>> import torch
    >>> from committee.backbones.outputs import Output
    >>> Output("scores", probabilities=True).logits({"scores": torch.tensor([[0.5, 0.5]])})
    tensor([[-0.6931, -0.6931]])
    >>> Output(shift=[40.0], scale=[10.0]).logits(torch.tensor([[0.5], [-1.0]]))
    tensor([[45.],
            [30.]])
    """

    item: str | int | None = None
    probabilities: bool = False
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    variance: bool = False
    maps: bool = False
    resized: bool = False
    stride: int = 1

    def __post_init__(self) -> None:
        for name in ("shift", "scale"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        finite = all(map(math.isfinite, self.shift + self.scale))
        if len(self.shift) != len(self.scale) or not finite or any(each <= 0 for each in self.scale):
            raise ValueError(f"shift {list(self.shift)} and scale {list(self.scale)}")
        if not 1 <= self.stride <= LARGEST_STRIDE:
            raise ValueError(f"a stride of {self.stride}")

    def to_json(self) -> dict[str, Any]:
        """Return JSON values from which `Output(**values)` restores it; those of the default are omitted."""
        defaults = {each.name: each.default for each in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name in ("item", "probabilities") or value != defaults[name]
        }

    def logits(self, output: Any, size: Sequence[int] = ()) -> Tensor:
        """Return the logits or numbers `[B, C]`, or maps `[B, C, H, W]`, in the output of a network.

        Numbers with a `variance` are `[B, T, 2]`: the numbers in units, and their variances in squared units.

        Parameters
        ----------
        output : Any
            What the network returned.
        size : sequence of int, optional
            Height and width of the images, of which maps that are `resized` depend.

        Raises
        ------
        UsageError
            The output has no tensor where the logits are expected, or another number of numbers.
        """
        found = output
        if not isinstance(output, Tensor):
            found = values_of(output).get("logits" if self.item is None else self.item, output)
        if not isinstance(found, Tensor):
            raise no_logits("the output of a network", f"a {type(output).__name__}")
        if self.resized:
            found = functional.interpolate(found, size=tuple(size), mode="bilinear", align_corners=False)
        elif found.ndim > 2 and not self.maps:
            found = found.flatten(1)
        if self.probabilities:
            return found.float().clamp(min=TINY).log()
        if self.variance:
            halves = found.float().chunk(2, dim=1)
            if len(halves) != 2:
                raise _another_count("twice ", len(self.scale), found.shape[1])
            numbers, raw = halves
            return torch.stack([self._in_units(numbers), self._variances(raw)], dim=-1)
        return self._in_units(found.float()) if self.scale else found

    def _in_units(self, standardized: Tensor) -> Tensor:
        if not self.scale:
            return standardized
        # Column by column, so that a recorded graph has numbers instead of tensors of one device.
        found = standardized.unbind(1)
        if len(found) != len(self.scale):
            raise _another_count("", len(self.scale), len(found))
        columns = zip(found, self.scale, self.shift, strict=True)
        return torch.stack([column * scale + shift for column, scale, shift in columns], 1)

    def _variances(self, raw: Tensor) -> Tensor:
        """Return variances in squared units; a softplus is above zero, and grows no faster than its input."""
        variances = functional.softplus(raw) + SMALLEST_VARIANCE
        scales = self.scale or (1.0,) * raw.shape[1]
        columns = zip(variances.unbind(1), scales, strict=True)
        return torch.stack([column * scale**2 for column, scale in columns], 1)


def scaled(
    output: Output, shift: Sequence[float], scale: Sequence[float], names: Sequence[str], who: str
) -> Output:
    """Return how a network is read whose numbers are standardized by these means and standard deviations.

    Parameters
    ----------
    output : Output
        How its standardized numbers are read.
    shift, scale : sequence of float, length T or 0
        Mean and standard deviation of each target; none if the network returns numbers in their units.
    names : sequence of str, length T
        The targets.
    who : str
        Name of the network in errors.

    Raises
    ------
    UsageError
        There is not a finite mean, and a standard deviation above zero, for each target.
    """
    if not len(shift) and not len(scale):
        return output
    pairs = list(zip(shift, scale, strict=False))
    valid = all(math.isfinite(mean) and math.isfinite(spread) and spread > 0 for mean, spread in pairs)
    if not (len(shift) == len(scale) == len(names) and valid):
        raise UsageError(
            f"{who}: shift and scale",
            expected=f"a mean and a standard deviation above zero for each of {', '.join(names)}",
            got=f"{list(shift)} and {list(scale)}",
        )
    return replace(output, shift=tuple(shift), scale=tuple(scale))


def values_of(output: Any) -> dict[str | int, Any]:
    """Return the values of a mapping, an object or a sequence by their key; none of a tensor."""
    if isinstance(output, Tensor):
        return {}
    if isinstance(output, Mapping):
        return dict(output)
    if is_dataclass(output):
        return {each.name: getattr(output, each.name) for each in fields(output)}
    if hasattr(output, "logits"):
        return {"logits": output.logits}
    return dict(enumerate(output)) if isinstance(output, list | tuple) else {}


def _another_count(factor: str, targets: int, got: int) -> UsageError:
    expected = f"{factor}as many numbers for each input as there are targets, {targets}"
    return UsageError("the output of a network", expected=expected, got=str(got))


def no_logits(who: str, got: str) -> UsageError:
    """Return the error about a network whose output cannot be read."""
    return UsageError(
        who,
        expected="logits [B, C], alone or as 'logits' of a mapping or an object",
        got=got,
        todo="Wrap the network in a module whose forward returns the logits alone.",
    )
