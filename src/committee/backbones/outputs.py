"""What networks return: where the logits or numbers are, and what they mean."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from committee.errors import CommitteeError, DataError, UsageError

log = logging.getLogger(__name__)

PROBES = 4
TOLERANCE = 1e-3
LARGEST_STRIDE = 2**10
TINY = float(torch.finfo(torch.float32).tiny)
ACTIVATIONS = {"_softmax": "a softmax", "sigmoid": "a sigmoid", "sigmoid_": "a sigmoid"}
"""Operations whose results are probabilities. Those of `_log_softmax` are logits."""

SAME_VALUES = {
    "alias",
    "clone",
    "detach",
    "view",
    "_unsafe_view",
    "reshape",
    "squeeze",
    "unsqueeze",
    "_to_copy",
}
"""Operations that change neither values nor their order."""


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

        Parameters
        ----------
        output : Any
            What the network returned.
        size : sequence of int, optional
            Height and width of the images, of which maps that are `resized` depend.

        Raises
        ------
        UsageError
            The output has no tensor where the logits are expected.
        """
        values = _values(output)
        found = values.get("logits" if self.item is None else self.item, output)
        if not isinstance(found, Tensor):
            raise _no_logits("the output of a network", f"a {type(output).__name__}")
        if self.resized:
            found = functional.interpolate(found, size=tuple(size), mode="bilinear", align_corners=False)
        elif found.ndim > 2 and not self.maps:
            found = found.flatten(1)
        if self.probabilities:
            return found.float().clamp(min=TINY).log()
        return self._in_units(found.float()) if self.scale else found

    def _in_units(self, standardized: Tensor) -> Tensor:
        # Column by column, so that a recorded graph has numbers instead of tensors of one device.
        columns = zip(standardized.unbind(1), self.scale, self.shift, strict=True)
        return torch.stack([column * scale + shift for column, scale, shift in columns], 1)


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


def inspect(
    net: nn.Module, classes: int, channels: int, size: int, who: str, *, logits: bool = True
) -> Output:
    """Run a network on random images, and return how its output becomes logits.

    Parameters
    ----------
    net : nn.Module
        Normalized images, float `[B, channels, size, size]`, to logits `[B, classes]`.
    classes, channels, size : int
    who : str
        Name of the network in messages.
    logits : bool
        Whether the output shall be logits, so that the logarithm of probabilities is used. If not, it is
        numbers, which are used as they are.

    Raises
    ------
    UsageError
        The network fails, or several or none of the values that it returns can be the logits.
    DataError
        The network returns NaN or infinity.
    """
    first = next((each for each in net.parameters() if each.is_floating_point()), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(PROBES, channels, size, size, generator=generator).to(first)
    watch = _Watch()
    with _evaluating(net), torch.no_grad():
        try:
            with watch:
                output = net(images)
        except CommitteeError:
            raise
        except torch.OutOfMemoryError:
            return Output()  # a fit with smaller batches may have enough memory; otherwise it says so
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            raise UsageError(
                who,
                expected=f"a network from images, float {list(images.shape)}, to logits",
                got=f"{type(error).__name__}: {reason}",
                todo="Use the size (dataset.img_size) and the channels of the images that it was made for.",
            ) from error
    item, found = _find(output, classes, who)
    _require_finite(found, who)
    if not logits:
        return Output(item)
    activation = watch.activation_of(found) or ("their values" if are_probabilities(found) else None)
    if activation is not None:
        _say(who, activation)
    return Output(item, activation is not None)


def are_probabilities(values: Tensor) -> bool:
    """Return whether all rows `[B, C]` are probabilities of two classes or more that sum to one."""
    rows = values.detach().float().flatten(1)
    within = bool(((rows >= 0) & (rows <= 1)).all())
    return rows.shape[1] > 1 and within and bool(((rows.sum(1) - 1).abs() < TOLERANCE).all())


def _find(output: Any, classes: int, who: str) -> tuple[str | int | None, Tensor]:
    """Return the key of the logits in the output of a network, and the logits."""
    values = _values(output)
    found = values.get("logits", output)
    if isinstance(found, Tensor):
        if found.ndim < 2 or any(side != 1 for side in found.shape[2:]):
            raise _no_logits(who, f"a tensor {list(found.shape)}")
        return None, found
    fitting = [key for key, value in values.items() if _fits(value, classes)]
    if len(fitting) == 1:
        return fitting[0], values[fitting[0]]
    shapes = [
        f"{key}: {list(v.shape) if isinstance(v, Tensor) else type(v).__name__}" for key, v in values.items()
    ]
    several = f"{len(fitting)} values that may be logits" if fitting else "no value of this shape"
    raise _no_logits(who, f"a {type(output).__name__} with {several} ({', '.join(shapes)})")


def _values(output: Any) -> dict[str | int, Any]:
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


def _fits(value: Any, classes: int) -> bool:
    return (
        isinstance(value, Tensor)
        and value.ndim >= 2
        and tuple(value.shape[1:]) == (classes, *[1] * (value.ndim - 2))
    )


def _no_logits(who: str, got: str) -> UsageError:
    return UsageError(
        who,
        expected="logits [B, C], alone or as 'logits' of a mapping or an object",
        got=got,
        todo="Wrap the network in a module whose forward returns the logits alone.",
    )


def _require_finite(found: Tensor, who: str) -> None:
    if not bool(found.isfinite().all()):
        raise DataError(
            who,
            expected="finite logits of random images",
            got="NaN or infinity",
            todo="Check the weights of the network.",
        )


@functools.cache  # a network is built once for each fold
def _say(who: str, activation: str) -> None:
    log.warning(
        "%s: its outputs are probabilities (by %s); their logarithm is used as logits, so that its "
        "probabilities are those of the network.",
        who,
        activation,
    )


class _Watch(TorchDispatchMode):
    """Remembers which tensors are the result of a softmax or a sigmoid, of a module or a function."""

    def __init__(self) -> None:
        super().__init__()
        self._found = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ACTIVATIONS:
            self._found[result] = ACTIVATIONS[name]
        elif name in SAME_VALUES and isinstance(result, Tensor) and args and args[0] in self._found:
            self._found[result] = self._found[args[0]]
        return result

    def activation_of(self, tensor: Tensor) -> str | None:
        """Return the activation whose result a tensor is, if its values are probabilities of the classes."""
        found: str | None = self._found.get(tensor)
        # A softmax over another dimension, such as that of attention, gives no probabilities of classes.
        return None if found == "a softmax" and not are_probabilities(tensor) else found


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Put all modules of a network into evaluation mode, and restore their modes and torch's generator."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module in training:
            module.training = True
