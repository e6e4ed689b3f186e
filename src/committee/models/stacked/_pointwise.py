"""Operations on each element, and questions about a tensor that has the same answer for all networks."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from committee.models.stacked.alike import NotStackable
from committee.models.stacked.fallback import Rule, Run
from committee.models.stacked.many import aligned, is_many

OURS, TORCH = Path(__file__).parent, Path(torch.__file__).parent
ELEMENTWISE = [
    "add",
    "sub",
    "mul",
    "div",
    "true_divide",
    "pow",
    "rsub",
    "neg",
    "abs",
    "exp",
    "log",
    "log2",
    "log10",
    "log1p",
    "expm1",
    "sqrt",
    "rsqrt",
    "square",
    "reciprocal",
    "sign",
    "sin",
    "cos",
    "tan",
    "tanh",
    "atan",
    "erf",
    "sigmoid",
    "logsigmoid",
    "relu",
    "relu6",
    "gelu",
    "silu",
    "mish",
    "elu",
    "selu",
    "celu",
    "leaky_relu",
    "hardswish",
    "hardsigmoid",
    "hardtanh",
    "hardshrink",
    "softshrink",
    "softplus",
    "softsign",
    "tanhshrink",
    "threshold",
    "clamp",
    "clamp_min",
    "clamp_max",
    "clip",
    "maximum",
    "minimum",
    "lerp",
    "addcmul",
    "addcdiv",
    "floor",
    "ceil",
    "round",
    "fmod",
    "remainder",
    "isnan",
    "isinf",
    "isfinite",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "logical_not",
    "nan_to_num",
    "masked_fill",
    "__add__",
    "__radd__",
    "__sub__",
    "__rsub__",
    "__mul__",
    "__rmul__",
    "__truediv__",
    "__rtruediv__",
    "__pow__",
    "__rpow__",
    "__neg__",
    "__eq__",
    "__ne__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "__and__",
    "__or__",
    "__invert__",
    "to",
    "float",
    "double",
    "half",
    "bfloat16",
    "type_as",
    "clone",
    "detach",
    "zeros_like",
    "ones_like",
    "full_like",
    "empty_like",
    "add_",
    "sub_",
    "mul_",
    "div_",
    "pow_",
    "neg_",
    "exp_",
    "sqrt_",
    "relu_",
    "sigmoid_",
    "tanh_",
    "clamp_",
    "clamp_min_",
    "clamp_max_",
    "copy_",
    "zero_",
    "fill_",
    "lerp_",
    "addcmul_",
    "addcdiv_",
    "leaky_relu_",
    "elu_",
    "hardtanh_",
    "silu_",
    "masked_fill_",
    "__iadd__",
    "__isub__",
    "__imul__",
    "__itruediv__",
]

ABOUT = [
    "shape",
    "size",
    "dim",
    "ndim",
    "ndimension",
    "numel",
    "nelement",
    "dtype",
    "device",
    "layout",
    "is_cuda",
    "is_cpu",
    "is_mps",
    "is_sparse",
    "requires_grad",
    "is_floating_point",
    "is_complex",
    "is_contiguous",
    "is_quantized",
    "is_mkldnn",
    "is_nested",
    "is_meta",
    "is_leaf",
    "__len__",
    "element_size",
    "itemsize",
    "get_device",
    "stride",
    "is_signed",
    "is_inference",
]

PYTHON = {
    "__bool__": "`if` or `while`",
    "__int__": "int",
    "__float__": "float",
    "__index__": "an index or range",
    "__complex__": "complex",
    "__contains__": "`in`",
    "__array__": "numpy",
}
"""What calls a method that reads the values of a tensor."""
VALUES = [
    *PYTHON,
    "item",
    "tolist",
    "numpy",
    "equal",
    "allclose",
    "is_nonzero",
    "nonzero",
]


def elementwise(run: Run, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Compute an operation of one element, or of several that broadcast."""
    kwargs.pop("memory_format", None)  # Layouts in memory are those that the operations choose.
    if len(args) == 1 and not any(map(is_many, kwargs.values())):
        return func(*args, **kwargs)
    tensors = aligned([*args, *kwargs.values()])
    return func(*tensors[: len(args)], **dict(zip(kwargs, tensors[len(args) :], strict=True)))


def where(run: Run, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Select elements; without values to select from, the result depends on those of the condition."""
    return (elementwise if len(args) + len(kwargs) > 2 else refused)(run, func, args, kwargs)


def about(run: Run, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Answer what is the same for the tensor of each network, from that of the first."""
    first: Tensor = args[0]
    return func(first.as_subclass(Tensor)[0], *args[1:], **kwargs)


def refused(run: Run, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Raise for what depends on values, which differ among the networks and from batch to batch."""
    error = NotStackable(
        f"a forward pass that depends on the values of a tensor ({_name(func)}{_place()})",
        todo="Compute what each case returns, and choose with torch.where.",
    )
    run.refused.append(error)
    raise error


def _name(func: Callable[..., Any]) -> str:
    return PYTHON.get(func.__name__, func.__name__)


def _place() -> str:
    """Return the file and line of the network that is running, as part of a sentence."""
    for file, line, *_ in reversed(traceback.extract_stack()):
        path = Path(file)
        if path.name == "stack.py" and path.parent == OURS:
            break
        if path.parent != OURS and not path.is_relative_to(TORCH):
            return f", {path.name}:{line}"
    return ""


RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(ABOUT, about),
    "where": where,
    **dict.fromkeys(VALUES, refused),
}
