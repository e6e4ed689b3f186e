"""Loading of weights files into backbones; all tensors must match, except for a head with other classes."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from committee.backbones.base import Backbone
from committee.errors import DataError, UsageError, first_five, missing
from committee.untrusted.safetensors_header import read_header

WRAPPERS = ("state_dict", "model", "model_state_dict")
PREFIXES = ("module.", "network.", "net.")
INERT: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.bool_)),
    np.float64(0).__reduce__()[0],
]
"""Types that only hold values: arguments of a script, and NumPy numbers such as a best score."""


def require_file(path: Path) -> None:
    """Raise UsageError unless the weights file exists."""
    if not path.is_file():
        todo = "Set training.pretrained to true, false or the path of a weights file."
        raise missing(UsageError, path, todo)


def read_weights(
    path: Path, wrappers: Sequence[str] = WRAPPERS, one_of: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Read a state dict from `.safetensors`, or from `.pt`/`.pth` without running code.

    Of a pickle, tensors, plain values and the types in `INERT` are read, which trainers store beside weights.

    Tensors are memory-mapped, so that names and shapes can be compared before they are read; only files of
    torch before version 1.6 are read completely.

    Parameters
    ----------
    path : Path
    wrappers : sequence of str
        Keys under which the state dict may be nested.
    one_of : sequence of str
        If given, the file must contain one of these keys.

    Raises
    ------
    UsageError
        The file does not exist.
    DataError
        The file does not contain a state dict of tensors, or none of the keys in `one_of`.
    """
    require_file(path)
    if one_of and path.suffix == ".safetensors":
        raise _lacks(path, one_of, "a flat file")
    state = read_content(path)
    if one_of and not (isinstance(state, Mapping) and any(isinstance(state.get(k), Mapping) for k in one_of)):
        raise _lacks(path, one_of, first_five(list(state)) if isinstance(state, Mapping) else "no dict")
    return _unwrap(state, path, wrappers)


def read_content(path: Path) -> Any:
    """Read what a weights file contains: tensors, and beside them the settings that trainers store.

    Raises
    ------
    UsageError
        The file does not exist.
    DataError
        The file is damaged, or contains other types than `read_weights` names.
    """
    require_file(path)
    try:
        if path.suffix == ".safetensors":
            read_header(path)
            return safetensors.torch.load_file(path)
        with torch.serialization.safe_globals(INERT):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:  # Its message explains how to disable the protection.
        raise DataError(
            str(path),
            expected="a state dict of tensors (.safetensors, .pt or .pth)",
            got="a pickle that is damaged or contains other objects, and was not executed",
            todo="If you trust the file, save its state dict as safetensors.",
        ) from error
    except Exception as error:  # A hostile pickle may raise any error: KeyError, IndexError, struct.error
        raise DataError(
            str(path),
            expected="a state dict of tensors (.safetensors, .pt or .pth)",
            got=_first_line(error),
            todo="Save it as safetensors.",
        ) from error


def load_weights(backbone: Backbone, state: Mapping[str, Tensor], who: str) -> None:
    """Copy a state dict into a backbone.

    A head with another number of classes is not copied, and the channels of a first layer for color images
    are summed for grayscale.

    Parameters
    ----------
    backbone : Backbone
        The network to change.
    state : mapping of str to tensor
    who : str
        Name of the weights in errors, such as their path.

    Raises
    ------
    DataError
        Tensors are missing, unexpected, have another shape, or contain NaN or infinity; the message lists the
        first five.
    """
    own = backbone.net.state_dict()
    heads = tuple(f"{name}." for name in backbone.heads)
    fitting = {name: _fit(tensor, own.get(name)) for name, tensor in state.items()}
    differing = [name for name in fitting if name in own and fitting[name].shape != own[name].shape]
    replaced = {name for name in own if name.startswith(heads)} if _any_head(differing, heads) else set()
    _refuse_shapes(who, backbone, [n for n in differing if n not in replaced], fitting, own)
    absent = [n for n in own if n not in fitting and n not in replaced and not _optional(n, heads)]
    unknown = [n for n in fitting if n not in own]
    if absent or unknown:
        differences = "; ".join(_listed("missing", absent) + _listed("unexpected", unknown))
        raise DataError(
            f"{who}: the tensors do not match {backbone.title} ({differences})",
            todo="Use weights of this architecture.",
        )
    copied = {name: tensor for name, tensor in fitting.items() if name not in replaced}
    require_finite(copied, who)
    backbone.net.load_state_dict(copied, strict=False)


def require_finite(state: Mapping[str, Tensor], who: str) -> None:
    """Raise DataError if weights contain NaN or infinity; the message lists the first five tensors."""
    bad = [name for name, tensor in state.items() if not _is_finite(tensor)]
    if bad:
        raise DataError(
            who,
            expected="finite weights",
            got=f"NaN or infinity in {first_five(bad)}",
            todo="Give an earlier checkpoint, or train it again with a lower learning rate.",
        )


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(end.isfinite()) for end in tensor.aminmax())  # NaN is both; no second copy of the tensor


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _lacks(path: Path, keys: Sequence[str], got: str) -> DataError:
    return DataError(
        str(path),
        expected=f"weights under one of {', '.join(keys)}",
        got=got,
        todo="Load the plain weights, or give another file.",
    )


def _unwrap(state: Any, path: Path, wrappers: Sequence[str]) -> dict[str, Tensor]:
    for key in wrappers:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    items = state.items() if isinstance(state, Mapping) else ()
    tensors = {name: value for name, value in items if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise DataError(
            str(path),
            expected="a state dict of tensors (.safetensors, .pt or .pth)",
            got=type(state).__name__,
        )
    return tensors


def strip_prefixes(state: dict[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """Remove prefixes of wrappers that all names have, such as `module.`, unless the network has them too."""
    known = set(own)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state) and not known & set(state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _fit(tensor: Tensor, own: Tensor | None) -> Tensor:
    gray = own is not None and own.shape[1:2] == (1,) and tensor.shape == (len(own), 3, *own.shape[2:])
    # A gray pixel has the same value in all three channels, so their weights can be summed.
    return tensor.sum(1, keepdim=True) if gray else tensor


def _any_head(names: Iterable[str], heads: tuple[str, ...]) -> bool:
    return any(name.startswith(heads) for name in names)


def _optional(name: str, heads: tuple[str, ...]) -> bool:
    return name.endswith("num_batches_tracked") or name.startswith(heads)


def _refuse_shapes(
    who: str, backbone: Backbone, names: list[str], state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> None:
    if not names:
        return
    table = [f"{name} {list(state[name].shape)} instead of {list(own[name].shape)}" for name in names]
    raise DataError(
        who,
        expected=f"the shapes of {backbone.title}",
        got=first_five(table),
        todo="Use weights of this architecture.",
    )


def _listed(label: str, names: list[str]) -> list[str]:
    return [f"{label} {first_five(names)}"] if names else []


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
