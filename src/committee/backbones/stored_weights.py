"""Modules for stored weights: built without memory, compared with the header of the file, then filled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from committee.backbones.weights import require_finite
from committee.errors import StoreError
from committee.untrusted.growth import check_growth
from committee.untrusted.safetensors_header import Header

Module = TypeVar("Module", bound=nn.Module)
State = Callable[[Module], Mapping[str, Tensor]]

SPARE = 1000
"""Parameters that a module may register beyond four for each tensor of its file, as some are replaced."""

_building = threading.RLock()


class WithoutValues(TorchFunctionMode):
    """Skip the in-place functions of initializations on tensors without memory, which have no values.

    On the meta device torch decomposes some of them in Python, which made up most of the time of a load, and
    a product with a number imports torch's compiler, which takes longer than torch.
    """

    methods = ("add_", "clamp_", "div_", "erfinv_", "fill_", "mul_", "normal_", "sub_", "uniform_", "zero_")
    functions = ("constant_", "kaiming_uniform_", "normal_", "uniform_")
    writes = frozenset(getattr(Tensor, name) for name in methods) | frozenset(
        getattr(nn.init, name) for name in functions
    )

    products = frozenset((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in self.products and not kwargs:
            (tensor, number) = args if isinstance(args[0], Tensor) else args[::-1]
            if tensor.is_meta and tensor.is_floating_point() and isinstance(number, int | float):
                return torch.empty(
                    tensor.shape, dtype=tensor.dtype, device="meta"
                )  # `empty_like` imports it too
        if func in self.writes:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


def build_for(path: Path, header: Header, build: Callable[[], Module], state_of: State[Module]) -> Module:
    """Build the module whose weights a file has; the parameters get no memory, until `fill` assigns them.

    A description that does not fit the file, such as that of a giant network, is refused before memory is
    allocated: the module is built on the meta device first.

    Parameters
    ----------
    path : Path
        The safetensors file.
    header : Header
        Its header.
    build : callable
        Returns the module. It is called once, or up to three times if its constructor computes with values.
    state_of : callable
        Returns the tensors of a module that the file has to contain, by name; the tensors themselves, not
        views of them, so that a load does not build the module again to compute them.

    Raises
    ------
    StoreError
        The names or shapes of the tensors differ.
    """
    for device in (torch.device("meta"), nullcontext()):
        module = _without_values(path, header, build, device)
        if module is None:
            continue
        own = state_of(module)
        _require_equal(path, header, own)
        computed = _computed(module, own)
        _require_small(path, computed)
        if not computed:
            return module
    return build()  # a constructor may compute with values, or put buffers on the device of its parameters


def fill(module: Module, path: Path, header: Header, state_of: State[Module]) -> None:
    """Load the tensors of a file into a module that `build_for` built, or into one that has its own memory.

    Raises
    ------
    StoreError
        The names or shapes of the tensors differ.
    DataError
        Weights contain NaN or infinity.
    """
    own = state_of(module)
    _require_equal(path, header, own)
    # Copies, since tensors of safetensors are mapped to the file, which Windows could then not replace.
    loaded = {name: tensor.to(own[name].dtype, copy=True) for name, tensor in load_file(path).items()}
    weights = {name for name, _ in module.named_parameters()}
    # Other buffers, such as masks, may contain infinity.
    require_finite({n: t for n, t in loaded.items() if n in weights or "running_" in n}, str(path))
    empty = any(tensor.is_meta for tensor in own.values())
    module.load_state_dict(loaded, strict=False, assign=empty)
    for name, kept in _tied(header, own).items() if empty else ():
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, module.get_parameter(kept))


@contextmanager
def _without_memory(path: Path, header: Header) -> Iterator[None]:
    """Put each parameter that this thread registers on the meta device, and refuse too many of them."""
    register, thread = nn.Module.register_parameter, threading.get_ident()
    count, most = 0, 4 * len(header.shapes) + SPARE

    def register_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        register(module, name, parameter)
        if threading.get_ident() != thread or parameter is None:
            return
        count += 1
        if count > most:
            raise _differs(path, f"{len(header.shapes)} tensors, where the architecture has more than {most}")
        if not parameter.is_meta:
            on_meta = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
            module._parameters[name] = on_meta

    with _building:
        nn.Module.register_parameter = register_on_meta  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            nn.Module.register_parameter = register  # type: ignore[method-assign]


def _without_values(
    path: Path, header: Header, build: Callable[[], Module], device: AbstractContextManager[object]
) -> Module | None:
    """Build the module with parameters on the meta device, or return None if that fails."""
    try:
        with _without_memory(path, header), WithoutValues(), device:
            return build()
    except StoreError:
        raise
    except Exception:  # its constructor computes with values; the last build reports what else is wrong
        return None


def _computed(module: nn.Module, own: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the tensors without memory that a file does not fill: buffers and attributes of modules."""
    filled = {id(tensor) for tensor in own.values()}
    attributes = ((key, value) for part in module.modules() for key, value in vars(part).items())
    found = _tensors([value for key, value in attributes if key not in ("_parameters", "_modules")])
    return [tensor for tensor in found if tensor.is_meta and id(tensor) not in filled]


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield all tensors in mappings and sequences."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple | set):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each)


def _require_small(path: Path, computed: list[Tensor]) -> None:
    """Raise StoreError if a constructor computes tensors that are much larger than the file."""
    try:
        check_growth(path.stat().st_size, sum(tensor.nbytes for tensor in computed))
    except ValueError as error:
        raise _differs(path, str(error)) from None


def _require_equal(path: Path, header: Header, own: Mapping[str, Tensor]) -> None:
    """Raise StoreError for the first tensor of a file that a module does not have in this shape."""
    tied = _tied(header, own)
    for name, tensor in own.items():
        if name not in header.shapes and name not in tied:
            raise _differs(path, f"no tensor '{name}'")
        if name in header.shapes and header.shapes[name] != tuple(tensor.shape):
            shapes = f"{list(header.shapes[name])} where the architecture has {list(tensor.shape)}"
            raise _differs(path, f"'{name}' {shapes}")
    extra = next((name for name in header.shapes if name not in own), None)
    if extra is not None:
        raise _differs(path, f"'{extra}', which the architecture does not have")


def _tied(header: Header, own: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the names of tensors that share the memory of another tensor, which alone is in the file."""
    pairs = header.metadata.items()
    return {
        name: kept
        for name, kept in pairs
        if name in own and name not in header.shapes and own[name].shape == header.shapes.get(kept)
    }


def _differs(path: Path, got: str) -> StoreError:
    return StoreError(
        str(path),
        expected="the weights of the architecture that the description beside it names",
        got=got,
        todo="Train or save the model again.",
    )
