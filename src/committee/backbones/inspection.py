"""Inspection of networks: where the logits or numbers are in what they return, and what they mean."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from committee.backbones.activations import Watch, are_probabilities
from committee.backbones.outputs import Output, no_logits, values_of
from committee.errors import CommitteeError, DataError, UsageError

log = logging.getLogger(__name__)

PROBES = 4
STRIDES = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of which sides of images may have to be multiples."""
ASPECT = 0.1
"""Largest difference between the scales of height and width of maps that have another size."""

_MADE_FOR = {
    "images": "Use the size (dataset.img_size) and the channels of the images that it was made for.",
    "inputs": "Give inputs of the shape that it was made for.",
}


def inspect(
    net: nn.Module,
    classes: int,
    shape: Sequence[int],
    who: str,
    *,
    logits: bool = True,
    maps: bool = False,
) -> Output:
    """Run a network on random inputs, and return how its output becomes logits.

    A network on the meta device is not run: operations there import torch's compiler.

    Parameters
    ----------
    net : nn.Module
        Inputs, float `[B, *shape]`, such as normalized images, to logits `[B, classes]`, or to maps
        `[B, classes, h, w]`.
    classes : int
    shape : sequence of int
        Shape of one input: `[channels, size, size]` of images.
    who : str
        Name of the network in messages.
    logits : bool
        Whether the output shall be logits, so that the logarithm of probabilities is used. If not, it is
        numbers, which are used as they are.
    maps : bool
        Whether the output shall be maps. The network is run on images of several sizes, to find out of which
        number height and width have to be multiples (1, 2, 4, ..., 64). Maps that are smaller or larger than
        the images are resized to them.

    Raises
    ------
    UsageError
        The network fails, or several or none of the values that it returns can be the logits.
    DataError
        The network returns NaN or infinity.

    Examples
    --------
    >>> from torch import nn
    >>> from committee.backbones.inspection import inspect
    >>> inspect(nn.Conv2d(3, 2, 4, stride=4), 2, (3, 32, 32), "net", maps=True).resized
    True
    """
    if any(each.is_meta for each in net.parameters()):
        return Output(maps=maps)
    watch = Watch()
    with _evaluating(net), torch.no_grad():
        stride, resized = _sides(net, classes, *shape[:2]) if maps else (1, False)
        if maps:
            shape = [shape[0], *(math.ceil(side / stride) * stride for side in shape[1:])]
        try:
            with watch:
                output = net(_images(net, PROBES, *shape))
        except CommitteeError:
            raise
        except torch.OutOfMemoryError:
            # A fit with smaller batches may have enough memory; otherwise it says so.
            return Output(maps=maps, resized=resized, stride=stride)
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            kind = "images" if len(shape) == 3 else "inputs"
            expected = f"a network from {kind}, float {[PROBES, *shape]}, to {'maps' if maps else 'logits'}"
            raise UsageError(
                who, expected=expected, got=f"{type(error).__name__}: {reason}", todo=_MADE_FOR[kind]
            ) from error
    item, found = _find(output, classes, who, maps)
    _require_finite(found, who)
    activation = _activation(found, watch, who) if logits else None
    return Output(item, activation is not None, maps=maps, resized=resized, stride=stride)


def _images(net: nn.Module, *shape: int) -> Tensor:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return images.to(next((each for each in net.parameters() if each.is_floating_point()), images))


def _sides(net: nn.Module, classes: int, channels: int, size: int) -> tuple[int, bool]:
    """Return of which number sides of images have to be multiples, and whether maps have another size.

    A smaller number with which maps have another size than the images counts only if there is no larger one
    with which they have the same. Of a network that fails with all numbers, it is 1.
    """
    of_other_size: list[int] = []
    for stride in STRIDES:
        height = (size // stride | 1) * stride  # an odd number of times
        width = height + 2 * stride
        try:
            _, found = _find(net(_images(net, 1, channels, height, width)), classes, "", maps=True)
        except Exception:  # Sizes that do not fit; `inspect` reports what fails with all of them
            continue
        rows, columns = found.shape[2:]
        if (rows, columns) == (height, width):
            return stride, False
        if abs(rows / height - columns / width) < ASPECT:
            of_other_size.append(stride)
    return (of_other_size[0], True) if of_other_size else (1, False)


def _activation(found: Tensor, watch: Watch, who: str) -> str | None:
    """Return by what the output of a network is probabilities, and say so; None if it is logits."""
    activation = watch.activation_of(found) or ("their values" if are_probabilities(found) else None)
    if activation is not None:
        _say(who, activation)
    return activation


def _find(output: Any, classes: int, who: str, maps: bool) -> tuple[str | int | None, Tensor]:
    """Return the key of the logits in the output of a network, and the logits."""
    values = values_of(output)
    item = "out" if maps and "logits" not in values and _fits(values.get("out"), classes, maps) else None
    found = values.get(item or "logits", output)
    if isinstance(found, Tensor):
        if not _fits(found, None, maps):
            raise _no_logits(who, f"a tensor {list(found.shape)}", maps)
        return item, found
    fitting = [key for key, value in values.items() if _fits(value, classes, maps)]
    if len(fitting) == 1:
        return fitting[0], values[fitting[0]]
    shapes = [
        f"{key}: {list(v.shape) if isinstance(v, Tensor) else type(v).__name__}" for key, v in values.items()
    ]
    several = f"{len(fitting)} values that may be logits" if fitting else "no value of this shape"
    raise _no_logits(who, f"a {type(output).__name__} with {several} ({', '.join(shapes)})", maps)


def _fits(value: Any, classes: int | None, maps: bool) -> bool:
    """Return whether a value has the shape of logits, or of maps, of `classes`, or of any number of them."""
    if not isinstance(value, Tensor) or value.ndim < 2 or classes not in (None, value.shape[1]):
        return False
    sides = value.shape[2:]
    return len(sides) == 2 and min(sides) > 1 if maps else all(side == 1 for side in sides)


def _no_logits(who: str, got: str, maps: bool) -> UsageError:
    if maps:
        return UsageError(
            who,
            expected="maps [B, C, h, w], alone or as 'logits' or 'out' of a mapping or an object",
            got=got,
            todo="Wrap the network in a module whose forward returns the maps alone.",
        )
    return no_logits(who, got)


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
