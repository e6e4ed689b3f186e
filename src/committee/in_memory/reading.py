"""Reading of what users train on: arrays and labels, or a loader of them, into a data set in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from committee.base.text import wrong_rows
from committee.errors import DataError
from committee.in_memory.arrays import Arrays
from committee.in_memory.labels import Labels, read_labels

PAIR = 2


class Pair(NamedTuple):
    """Inputs `[N, ...]`, uint8 or float32, and the labels `[N]` or `[N, T]` of a split."""

    inputs: Tensor
    labels: NDArray[Any]


def read(
    train: Any,
    val: Any = None,
    *,
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    device: torch.device | None = None,
    weights: Any = None,
) -> Arrays:
    """Return training and validation rows as one data set.

    Parameters
    ----------
    train, val : pair of arrays or tensors (X, y), or iterable of pairs
        Inputs `[N, ...]`, of a floating type or images of type uint8, and their labels. An iterable, such as
        a `DataLoader` or a `Dataset`, yields batches with their labels, or single inputs with their label; it
        is read once.
    task : {"classification", "regression"}, optional
        What labels are; by default, floating-point numbers are numbers, and all others classes.
    class_names, target_names : sequence of str, optional
        Names of the outputs of a network.
    device : torch.device, optional
        Where the inputs are kept.
    weights : array `[N]`, optional
        Weight of each training row.

    Raises
    ------
    DataError
        Inputs and labels do not match, or cannot be used; the message names the split.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.in_memory.reading import read
    >>> data = read((np.zeros((4, 3)), ["cat", "dog", "cat", "dog"]))
    >>> data.class_names, data.labels.tolist(), data.shape
    (('cat', 'dog'), [0, 1, 0, 1], (3,))
    """
    parts = {"train": _pair("train", train)}
    if val is not None:
        parts["val"] = _pair("val", val)
        _check_alike(parts["train"].inputs, parts["val"].inputs)
    found = read_labels({name: each.labels for name, each in parts.items()}, task, class_names, target_names)
    data = _dataset(parts, found, device)
    if weights is None:
        return data
    given = _weights(weights, len(parts["train"].inputs))
    return replace(data, weights=np.pad(given, (0, len(data.labels) - len(given))))


def _weights(weights: Any, rows: int) -> NDArray[np.float32]:
    """Return weights of rows; the mean of those above 0 is 1."""
    try:
        given = np.asarray(_array(weights), np.float64)
    except (TypeError, ValueError):
        raise DataError("weights", expected="an array of numbers", got=repr(weights)[:60]) from None
    if given.shape != (rows,):
        raise DataError("weights", expected=f"{rows} numbers, one for each input", got=str(list(given.shape)))
    if not (np.isfinite(given).all() and (given >= 0).all()):
        wrong = int((~np.isfinite(given) | (given < 0)).sum())
        raise DataError("weights", expected="finite numbers that are at least 0", got=f"{wrong} others")
    if not given.any():
        raise DataError("weights", expected="a weight above zero", got="all weights are zero")
    return (given / given[given > 0].mean()).astype(np.float32)


def _dataset(parts: dict[str, Pair], labels: Labels, device: torch.device | None) -> Arrays:
    inputs = torch.cat([each.inputs for each in parts.values()]) if len(parts) > 1 else parts["train"].inputs
    rows = len(inputs)
    splits = np.repeat(list(parts), [len(each.inputs) for each in parts.values()])
    return Arrays(
        name="in memory",
        fingerprint="",
        canvases={},
        labels=labels.values,
        sample_ids=np.arange(rows).astype(np.str_),
        class_names=labels.names,
        splits=splits,
        folds=np.full(rows, -1, np.int64),
        groups=None,
        fit="squash",
        channels=inputs.shape[1],
        target_type=labels.type,
        inputs=inputs if device is None else inputs.to(device),
    )


def _pair(who: str, data: Any) -> Pair:
    """Return inputs and labels of a pair of arrays, or of an iterable of pairs."""
    if isinstance(data, tuple | list) and len(data) == PAIR and not _is_item(data[0]):
        inputs, labels = data
    elif not _has_items(data):
        raise DataError(
            who,
            expected="a pair (X, y), or a loader of such pairs",
            got=f"a tuple of {len(data)}" if isinstance(data, tuple) else type(data).__name__,
            todo="Pass inputs and labels as a tuple.",
        )
    else:
        inputs, labels = _collected(who, data)
    read, given = inputs_of(who, inputs), _array(labels)
    if given.ndim == 0 or len(given) != len(read):
        got = "a single one" if given.ndim == 0 else str(len(given))
        raise DataError(f"{who}: y", expected=f"{len(read)} labels, one for each input", got=got)
    return Pair(read, given)


def _is_item(value: Any) -> bool:
    """Return whether a value is one of several pairs, and not an array."""
    return isinstance(value, tuple) and len(value) == PAIR


def _has_items(data: Any) -> bool:
    """Return whether data are several pairs, one after the other or by number."""
    if isinstance(data, tuple):
        return bool(data) and _is_item(data[0])
    if isinstance(data, Tensor | np.ndarray):
        return False
    return isinstance(data, Iterable) or (isinstance(data, Dataset) and hasattr(data, "__len__"))


def _collected(who: str, data: Any) -> tuple[Tensor, NDArray[Any]]:
    """Return all inputs and labels that an iterable yields, in batches or one by one."""
    inputs, labels = list[Tensor](), list[NDArray[Any]]()
    alone = not isinstance(data, Iterable)  # a data set of torch, which has numbered items
    for item in (data[place] for place in range(len(data))) if alone else data:
        if not (isinstance(item, tuple | list) and len(item) == PAIR):
            got = f"{len(item)} values" if isinstance(item, tuple | list) else type(item).__name__
            raise DataError(who, expected="a loader of pairs of inputs and labels", got=got)
        values, given = torch.as_tensor(_array(item[0])), _array(item[1])
        single = alone or given.ndim == 0
        inputs.append(values[None] if single else values)
        labels.append(given[None] if single else given)
    if not inputs:
        raise DataError(who, expected="at least one batch", got="an empty loader")
    odd = next((each for each in inputs if each.shape[1:] != inputs[0].shape[1:]), None)
    if odd is not None:
        shapes = [list(each.shape[1:]) for each in (inputs[0], odd)]
        raise DataError(f"{who}: X", expected=f"inputs of one shape, {shapes[0]}", got=str(shapes[1]))
    return torch.cat(inputs), np.concatenate(labels)


def _array(value: Any) -> NDArray[Any]:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def inputs_of(who: str, inputs: Any) -> Tensor:
    """Return inputs as uint8 images `[N, c, S, S]`, or as float32 `[N, ...]`.

    Raises
    ------
    DataError
        They are neither, or contain NaN or infinity.
    """
    array = inputs.detach().cpu() if isinstance(inputs, Tensor) else _numbers(who, inputs)
    if array.ndim < PAIR or not len(array):
        raise DataError(
            f"{who}: X",
            expected="at least one row, with axes [N, ...]",
            got=f"an array {list(array.shape)}",
            todo="Give a single feature an axis: X[:, None]." if array.ndim == 1 and len(array) else "",
        )
    square = array.ndim == 4 and array.shape[2] == array.shape[3]
    if array.dtype == torch.uint8 and square:
        return array
    if not array.is_floating_point():
        raise DataError(
            f"{who}: X",
            expected="floating-point numbers, or square images uint8 [N, c, S, S]",
            got=f"{str(array.dtype).removeprefix('torch.')} {list(array.shape)}",
            todo=_advice(array),
        )
    found = array.float()
    finite = found.isfinite().numpy()
    if not finite.all():
        raise DataError(
            f"{who}: X",
            expected="finite numbers of float32",
            got=f"NaN or infinity{wrong_rows(finite)}",
            todo="Leave out these rows, or fill in values: numpy.nan_to_num, sklearn.impute.",
        )
    return found


def _advice(array: Tensor) -> str:
    """Return how inputs of another type, or images with other axes, become such as can be read."""
    if array.dtype == torch.uint8 and array.ndim == 3 and array.shape[1] == array.shape[2]:
        return "Give images of one channel an axis: X[:, None]."
    if array.dtype == torch.uint8 and array.ndim == 4 and array.shape[3] in (1, 3, 4):
        return "Move the axis of the channels: permute(0, 3, 1, 2) of a tensor, transpose of an array."
    return "Convert them: X.float() of a tensor, X.astype('float32') of an array."


def _numbers(who: str, inputs: Any) -> Tensor:
    try:
        array = np.ascontiguousarray(inputs)
        array = array.astype(np.float32) if array.dtype.kind in "OU" else array
        return torch.as_tensor(array) if array.flags.writeable else torch.tensor(array)
    except (TypeError, ValueError) as error:
        raise DataError(f"{who}: X", expected="an array of numbers", got=str(error).splitlines()[0]) from None


def _check_alike(train: Tensor, val: Tensor) -> None:
    if (train.shape[1:], train.dtype) != (val.shape[1:], val.dtype):
        kinds = [
            f"{str(each.dtype).removeprefix('torch.')} {['N', *each.shape[1:]]}" for each in (train, val)
        ]
        expected, got = (kind.replace("'", "") for kind in kinds)
        raise DataError("val: X", expected=f"inputs as those of train, {expected}", got=got)
