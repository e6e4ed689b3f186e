"""Storage of nested dicts and lists of tensors, such as an optimizer's state, as safetensors and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from committee.errors import StoreError, unreadable
from committee.untrusted.documents import build
from committee.untrusted.safetensors_header import read_header


def save(tree: object, folder: Path, name: str = "state") -> None:
    """Write `tree` as `<name>.safetensors` and `<name>.json` in `folder`.

    Parameters
    ----------
    tree : dict, list, tuple, Tensor, number, str or None, nested
        Keys of dicts are text or integers. A tuple is loaded as a list.
    folder : Path
        An existing folder, such as the one yielded by `commit`.
    """
    tensors: dict[str, Tensor] = {}
    shape = _encode(tree, tensors)
    save_file(tensors, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(shape), encoding="utf-8")


def load(folder: Path, name: str = "state") -> Any:
    """Load what `save` wrote, with all tensors on the CPU and with their original strides.

    Strides matter: a fused optimizer iterates over a parameter and its moments in memory order, and is
    silently wrong if the parameter is channels-last and the moments are contiguous.

    Raises
    ------
    StoreError
        A file is missing or damaged.
    """
    path = folder / f"{name}.safetensors"
    try:
        read_header(path)
        tensors = load_file(path)
    except SafetensorError as error:
        raise StoreError(str(path), expected="a saved state", got=str(error)) from error
    except OSError as error:
        raise unreadable(StoreError, path, error) from error
    shape = folder / f"{name}.json"
    return build(
        lambda: _decode(json.loads(shape.read_text(encoding="utf-8")), tensors), shape, "a saved state"
    )


def _encode(value: object, tensors: dict[str, Tensor]) -> object:
    if isinstance(value, Tensor):
        key = str(len(tensors))
        # safetensors supports neither shared nor strided memory, so each tensor is copied.
        tensors[key] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": key, "stride": list(value.stride())}
    if isinstance(value, dict):
        return {"dict": [[key, _encode(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_encode(item, tensors) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: _decode(item, tensors) for key, item in value["dict"]}
    return _with_stride(tensors[value["tensor"]], tuple(value["stride"]))


def _with_stride(tensor: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Return `tensor` with this stride, if the stride has no gaps."""
    last = sum((size - 1) * step for size, step in zip(tensor.shape, stride, strict=True))
    if tensor.stride() == stride or last + 1 != tensor.numel():
        return tensor
    return torch.empty_strided(tuple(tensor.shape), stride, dtype=tensor.dtype).copy_(tensor)
