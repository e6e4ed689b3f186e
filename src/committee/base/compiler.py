"""Work without torch's compiler, whose import takes as long as that of torch, and which little needs."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch._compile import _disable_dynamo

COMPILER, UTILITIES = "torch._dynamo", "torch._dynamo.utils"
TRACKER = "wandb"


@contextlib.contextmanager
def deferred_compiler() -> Iterator[None]:
    """Let libraries that are imported inside name the compiler without importing it.

    torchvision asks for a function, `is_compile_supported`, and timm excludes some methods from compilation
    (`torch.compiler.disable`). They get functions that import the compiler when they are called. Whatever
    else a library asks for imports the compiler at once. timm also imports wandb, if that is installed, to
    which the same applies.

    Examples
    --------
    >>> from committee.base.compiler import deferred_compiler
    >>> with deferred_compiler():
    ...     import torchvision
    """
    if COMPILER not in sys.modules:
        standing_in = {name: _StandIn(name) for name in (COMPILER, UTILITIES)}
        vars(standing_in[COMPILER])["disable"] = _disable
        vars(standing_in[UTILITIES])["is_compile_supported"] = _is_compile_supported
        sys.modules.update(standing_in)
    if TRACKER not in sys.modules and importlib.util.find_spec(TRACKER):
        sys.modules[TRACKER] = _StandIn(TRACKER)
    try:
        yield
    finally:
        _remove_stand_ins()


def uncompiled(kind: type[torch.optim.Optimizer]) -> type[Any]:
    """Return a class of optimizers whose methods do not import the compiler.

    They are the methods of torch without the decorators that exclude them from compilation, of which the
    first call imports the compiler.

    Examples
    --------
    >>> import torch
    >>> from committee.base.compiler import uncompiled
    >>> uncompiled(torch.optim.SGD)([torch.nn.Parameter(torch.ones(2))], lr=0.1).defaults["lr"]
    0.1
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)


def _disable(function: Any = None, recursive: bool = True, **options: Any) -> Any:
    if not isinstance(function, FunctionType):
        _remove_stand_ins()
        return importlib.import_module(COMPILER).disable(function, recursive, **options)
    return _disable_dynamo(function, recursive)  # which imports the compiler when it is called


def _is_compile_supported(device_type: str) -> bool:
    return bool(importlib.import_module(UTILITIES).is_compile_supported(device_type))


def _remove_stand_ins() -> None:
    for name in (COMPILER, UTILITIES, TRACKER):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


class _StandIn(ModuleType):
    """A module in place of another, which it imports when something else is asked for."""

    def __getattr__(self, name: str) -> Any:
        # Asked of all modules, as by `inspect`; the path of the package is asked for to import another part.
        if name.startswith("__") and (self.__name__, name) != (COMPILER, "__path__"):
            raise AttributeError(name)
        _remove_stand_ins()
        return getattr(importlib.import_module(self.__name__), name)
