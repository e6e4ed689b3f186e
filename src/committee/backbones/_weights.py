"""Put the tensors of a weights file into a backbone: strictly, except for a head of other classes."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from committee.backbones.base import Backbone
from committee.errors import DataError, UsageError, first_five
from committee.untrusted.safetensors_header import read_header

WRAPPERS = ("state_dict", "model", "model_state_dict")
PREFIXES = ("module.", "network.", "net.")


def require_file(path: Path) -> None:
    """Raise UsageError unless the file of weights is there."""
    if not path.is_file():
        raise UsageError(
            "training.pretrained",
            expected="true, false or the path of a weights file",
            got=f"'{path}'",
            todo="There is no such file.",
        )


def read_weights(
    path: Path, wrappers: Sequence[str] = WRAPPERS, one_of: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Read a state dict from `.safetensors`, or from `.pt`/`.pth` without unpickling objects.

    The numbers stay on disk until they are copied, so names and shapes can be compared first; only files of
    torch before version 1.6 are read at once. A state dict inside others is found under one of `wrappers`;
    where there are `one_of`, one of these must be among its keys.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        It is no file of tensors, or has none of `one_of`.
    """
    require_file(path)
    if one_of and path.suffix == ".safetensors":
        raise _lacks(path, one_of, "a flat file")
    try:
        if path.suffix == ".safetensors":
            read_header(path)
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:  # Its text says how to switch the protection off.
        raise DataError(
            str(path),
            expected="a state dict of tensors (.safetensors, .pt or .pth)",
            got="a pickle that is damaged or holds other objects; none of it was run",
            todo="Save its state dict again as safetensors, where you trust it.",
        ) from error
    except Exception as error:  # A hostile pickle fails in any way: KeyError, IndexError, struct.error, ...
        raise DataError(
            str(path),
            expected="a state dict of tensors (.safetensors, .pt or .pth)",
            got=_first_line(error),
            todo="Save it again as safetensors.",
        ) from error
    if one_of and not (isinstance(state, Mapping) and any(isinstance(state.get(k), Mapping) for k in one_of)):
        raise _lacks(path, one_of, first_five(list(state)) if isinstance(state, Mapping) else "no mapping")
    return _unwrap(state, path, wrappers)


def load_weights(backbone: Backbone, state: Mapping[str, Tensor], who: str) -> None:
    """Copy `state` into `backbone`.

    A head of another number of classes is left as it is, and a first layer for color is summed for gray.

    Raises
    ------
    DataError
        Names that are missing or unknown, or shapes that differ: the first five.
    """
    own = backbone.net.state_dict()
    heads = tuple(f"{name}." for name in backbone.heads)
    fitting = {name: _fit(tensor, own.get(name)) for name, tensor in state.items()}
    differing = [name for name in fitting if name in own and fitting[name].shape != own[name].shape]
    replaced = {name for name in own if name.startswith(heads)} if _any_head(differing, heads) else set()
    _refuse_shapes(who, backbone, [n for n in differing if n not in replaced], fitting, own)
    missing = [n for n in own if n not in fitting and n not in replaced and not _optional(n, heads)]
    unknown = [n for n in fitting if n not in own]
    if missing or unknown:
        raise DataError(
            who,
            expected=f"the tensors of {_title(backbone)}",
            got="; ".join(_listed("without", missing) + _listed("besides them", unknown)),
            todo="Give the weights of this architecture.",
        )
    backbone.net.load_state_dict({n: t for n, t in fitting.items() if n not in replaced}, strict=False)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _lacks(path: Path, keys: Sequence[str], got: str) -> DataError:
    return DataError(
        str(path),
        expected=f"weights under one of {', '.join(keys)}",
        got=got,
        todo="Take the plain weights, or name another file.",
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
    """Take off what wrappers put before every name, such as `module.`, unless the network has it too."""
    known = set(own)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state) and not known & set(state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _fit(tensor: Tensor, own: Tensor | None) -> Tensor:
    gray = own is not None and own.shape[1:2] == (1,) and tensor.shape == (len(own), 3, *own.shape[2:])
    # A gray pixel is the same in all three channels, so their weights add up.
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
        expected=f"the shapes of {_title(backbone)}",
        got=first_five(table),
        todo="Give the weights of this architecture.",
    )


def _title(backbone: Backbone) -> str:
    return backbone.architecture.name if backbone.architecture else type(backbone.net).__name__


def _listed(word: str, names: list[str]) -> list[str]:
    return [f"{word} {first_five(names)}"] if names else []


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
