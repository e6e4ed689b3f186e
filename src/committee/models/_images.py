"""Images and labels as callers hold them: checks, and their division into batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.base.limits import count
from committee.errors import DataError
from committee.images.as_given import AsGiven
from committee.images.decode import Source, decode
from committee.images.view import View
from committee.predictions.target_types import CLASSES, NUMBERS, TargetType

BATCH = 32
COLORS = (1, 3)
"""Numbers of channels for which files are decoded."""


def check_images(name: str, view: View, images: Any, normalized: bool) -> None:
    """Raise a DataError unless a member with this name and view accepts the images.

    Parameters
    ----------
    name : str
        Name of the member.
    view : View
    images : tensor
        uint8 `[B, c, H, W]`, or float `[B, *view.input_shape]` if `normalized` is true.
    normalized : bool
        Whether inputs of a floating type are accepted.
    """
    tensor = isinstance(images, Tensor)
    floating = tensor and images.is_floating_point()
    if tensor and (normalized and _fits(images, view) if floating else view.takes(images)):
        return
    shape = list(getattr(images, "shape", ()))
    kind = str(images.dtype).removeprefix("torch.") if tensor else type(images).__name__
    raise DataError(
        name,
        expected=_expected(view, floating and normalized),
        got=f"{kind} {shape}{_spread(images)}",
        todo=_advice(view, images, normalized),
    )


def _expected(view: View, floating: bool) -> str:
    if isinstance(view, AsGiven):
        return f"a batch float [batch, {', '.join(map(str, view.shape))}]"
    if floating:
        return f"normalized images [batch, {view.channels}, {view.size}, {view.size}]"
    return f"a batch uint8 [batch, {view.channels}, height, width]"


def _fits(images: Tensor, view: View) -> bool:
    """Return whether images have the shape of the network's input, of which some lengths may be free."""
    shape, own = view.input_shape, images.shape[1:]
    if own == shape:
        return True
    return len(own) == len(shape) and all(free in (None, side) for free, side in zip(shape, own, strict=True))


def _spread(images: Any) -> str:
    """Return the range of values of a type other than uint8."""
    if not isinstance(images, Tensor) or images.dtype == torch.uint8 or not images.numel():
        return ""
    return f" with values in {images.min().item():.4g}..{images.max().item():.4g}"


def _advice(view: View, images: Any, normalized: bool) -> str:
    """Return what a caller can do with images that a view does not accept; the first of several steps."""
    if not isinstance(images, Tensor):
        return "Call the method predict, or torch.from_numpy(images)."
    if isinstance(view, AsGiven):
        return _advice_on_inputs(view, images)
    if images.ndim == 3 and view.channels in (1, images.shape[0]):
        place = "None" if images.shape[0] == view.channels else ":, None"
        return f"Add the missing axis: images[{place}]."
    if images.ndim != 4:
        return "Give images as [batch, channels, height, width]."
    if images.shape[1] != view.channels:
        if images.shape[3] == view.channels:
            return "Move the axis of the channels: images.permute(0, 3, 1, 2), or transpose of an array."
        if images.shape[1] == 1:
            return f"Repeat the channel: images.expand(-1, {view.channels}, -1, -1)."
        if (view.channels, images.shape[1]) == (1, 3):
            return "Convert them: torchvision.transforms.functional.rgb_to_grayscale(images)."
        if images.shape[1] > view.channels:
            return f"Select the channels of the training: images[:, :{view.channels}]."
        return "Give as many channels as in the training of the member."
    if not images.is_floating_point():
        return "Give pixels in 0..255: images.to(torch.uint8)."
    if normalized:
        return "Resize them as in the training of the network."
    low, high = (float(each) for each in torch.aminmax(images)) if images.numel() else (0.0, 1.0)
    already = "if they are normalized, set member.normalized = True."
    if low < 0 or high > 255:
        return already.capitalize().replace("true", "True")
    pixels = "images * 255" if high <= 1 else "images"
    return f"Give pixels in 0..255: ({pixels}).round().to(torch.uint8); {already}"


def _advice_on_inputs(view: AsGiven, images: Tensor) -> str:
    """Return what a caller can do with inputs that a network without preprocessing does not accept."""
    if tuple(images.shape) == view.shape:
        return "Add the axis of the batch: inputs[None]."
    if tuple(images.shape[1:]) != view.shape:
        return "Give inputs of the shape that the network was trained on."
    return "Convert them as in the training: inputs.float()."


def axes_of(module: nn.Module) -> int:
    """Return the number of axes of a batch of the first `View` of a module; 4 if it has none."""
    views = (part for part in module.modules() if isinstance(part, View))
    return next((1 + len(view.input_shape) for view in views), 4)


def channels_of(module: nn.Module) -> int:
    """Return the number of channels of the first `View` of a module; 3 if it has none."""
    return next((part.channels for part in module.modules() if isinstance(part, View)), 3)


def image_batches(
    images: Tensor | NDArray[np.uint8] | Iterable[Source | Tensor], channels: int, size: int = BATCH
) -> Iterator[Tensor]:
    """Yield images in batches of at most `size` images of one shape, in their order; rows of a data frame.

    Raises
    ------
    DataError
        The images are no sequence, or have no pixels.
    UsageError
        The size is no whole number above 0.
    """
    size = count("batch_size", size)
    if isinstance(images, str | bytes | PurePath) or not isinstance(images, Iterable):
        raise DataError(
            "images",
            expected="a tensor, an array or a sequence of images",
            got=f"a {type(images).__name__}",
            todo="Put a single image in a list: [image].",
        )
    if len(getattr(images, "shape", ())) > 1 and hasattr(images, "to_numpy"):
        images = np.asarray(images.to_numpy(), np.float32)
    if isinstance(images, np.ndarray):
        images = _tensor(images)
    if isinstance(images, Tensor):
        if 0 in images.shape[1:]:
            raise DataError("images", expected="images with pixels", got=f"an array {list(images.shape)}")
        yield from images.split(size)
        return
    decoded = (_pixels(image, channels) for image in images)
    for _, alike in itertools.groupby(decoded, key=lambda image: (image.shape, image.dtype)):
        while batch := list(itertools.islice(alike, size)):
            yield torch.stack(batch)


def labeled_batches(
    who: str, data: Any, labels: Any, channels: int, target_type: TargetType = CLASSES, axes: int = 4
) -> Iterator[tuple[Tensor, NDArray[Any]]]:
    """Yield batches of images, and the labels of each, int or str `[B]`, or float `[B, T]`.

    Parameters
    ----------
    who : str
        Name of the model in errors.
    data : tensor or array [N, c, H, W], sequence of images, or iterable of (images, labels)
        Images, if `labels` are given; otherwise batches of images with their labels, or single images
        `[c, H, W]` with their label.
    labels : sequence [N], optional
        Label of each image.
    channels : int
        Channels of images that are decoded.
    target_type : TargetType
        What labels are.
    axes : int
        Number of axes of a batch of images.
    """
    read = READERS[target_type.name]
    if labels is not None:
        given = read(who, labels)
        count = len(data)
        if len(given) != count:
            raise DataError(who, expected=f"{count} labels, one for each image", got=str(len(given)))
        start = 0
        for batch in image_batches(data, channels):
            yield batch, given[start : start + len(batch)]
            start += len(batch)
        return
    if isinstance(data, Tensor | np.ndarray):
        raise DataError(
            who, expected="labels of the images", got="none", todo="Pass them too: fit(images, labels)."
        )
    pairs = (_pair(who, item) for item in data)
    for single, some in itertools.groupby(pairs, key=lambda pair: _is_single(pair[0], axes)):
        if single:
            yield from _stacked(who, some, channels, read)
        else:
            for images, given in some:
                yield torch.as_tensor(images), read(who, given, len(images))


def _stacked(
    who: str, pairs: Iterable[tuple[Any, Any]], channels: int, read: Callable[..., NDArray[Any]]
) -> Iterator[tuple[Tensor, NDArray[Any]]]:
    waiting: list[Any] = []

    def images() -> Iterator[Any]:
        for image, label in pairs:
            waiting.append(read(who, [label]))
            yield image

    for batch in image_batches(images(), channels):
        yield batch, np.concatenate(waiting[: len(batch)])
        del waiting[: len(batch)]


def _pair(who: str, item: Any) -> tuple[Any, Any]:
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    got = f"{len(item)} values" if isinstance(item, tuple | list) else type(item).__name__
    raise DataError(
        who,
        expected="pairs of images and labels",
        got=got,
        todo="Yield (images, labels), or pass arrays: fit(images, labels).",
    )


def _is_single(images: Any, axes: int) -> bool:
    return not isinstance(images, Tensor | np.ndarray) or images.ndim < axes


def _pixels(image: Source | Tensor, channels: int) -> Tensor:
    """Return an image as a tensor `[c, H, W]`; only images of 1 or 3 channels of type uint8 are decoded."""
    if isinstance(image, Tensor):
        return image
    if isinstance(image, np.ndarray) and image.ndim == 1:
        return _tensor(image)
    if isinstance(image, np.ndarray) and image.ndim == 3:
        last = image.shape[2] == channels
        if image.shape[0] == channels and not last:
            return _tensor(image)
        if image.dtype != np.uint8 or (last and channels not in COLORS):
            return _tensor(image.transpose(2, 0, 1))
    if channels not in COLORS:
        raise DataError(
            "images",
            expected=f"tensors of {channels} channels",
            got=type(image).__name__,
            todo="Files are decoded for models of 1 or 3 channels.",
        )
    return _tensor(decode(image, channels))


def _tensor(pixels: NDArray[Any]) -> Tensor:
    """Return pixels as a tensor; read-only ones, such as those of `numpy.asarray` of an image, are copied."""
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"]))


def label_array(who: str, labels: Any, count: int | None = None) -> NDArray[Any]:
    """Return labels as an array `[N]` of whole numbers or of names.

    Raises
    ------
    DataError
        The labels are fractions, have several columns, or there are not `count` of them.
    """
    array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if array.ndim != 1:
        todo = "Give the class of each image: labels.argmax(1)." if array.ndim == 2 else ""
        raise DataError(
            f"{who}: labels",
            expected="one label for each image",
            got=f"an array {list(array.shape)}",
            todo=todo,
        )
    if count is not None and len(array) != count:
        raise DataError(f"{who}: labels", expected=f"{count}, one for each image", got=str(len(array)))
    if array.dtype.kind == "O":
        array = array.astype(np.str_)
    if array.dtype.kind not in "iuU" and len(array):
        raise DataError(
            f"{who}: labels",
            expected="names of classes, or their positions as whole numbers",
            got=f"an array of {array.dtype}",
            todo="Convert whole numbers: labels.astype(int)." if array.dtype.kind == "f" else "",
        )
    return array


def number_array(who: str, labels: Any, count: int | None = None) -> NDArray[np.float64]:
    """Return true numbers as a float64 array `[N, T]`; those of one target may lack the second axis.

    Raises
    ------
    DataError
        The labels are not numbers, have another shape, or there are not `count` of them.
    """
    rows = [each.cpu() if isinstance(each, Tensor) else each for each in labels]
    try:
        array = np.asarray(rows, np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{who}: labels", expected="numbers, one for each image and target", got=repr(rows[:1])
        ) from None
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or (count is not None and len(array) != count):
        rows_of = "" if count is None else f"{count} rows of "
        raise DataError(
            f"{who}: labels",
            expected=f"{rows_of}numbers, one for each image and target",
            got=f"an array {list(array.shape)}",
        )
    return array


READERS: Mapping[str, Callable[..., NDArray[Any]]] = {CLASSES.name: label_array, NUMBERS.name: number_array}
"""How labels of each type are read."""
