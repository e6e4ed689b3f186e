"""Functions that an ONNX file records as one operation each, and how they are written in ONNX.

Recorded operation by operation, the exact resizing of images is a hundred nodes with symbolic shapes, which
take longer to record than most networks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset18 as op
from torch import Tensor

from committee.base.tracing import when
from committee.images.resize import BLOCK, UNIT, resize_in_graph


@torch.library.custom_op(
    "committee::resize_rows",
    mutates_args=(),
    schema="(Tensor images, SymInt start, SymInt length, SymInt scaled, SymInt first, int size) -> Tensor",
)
def _resize_rows(images: Tensor, start: Any, length: Any, scaled: Any, first: Any, size: int) -> Tensor:
    return resize_in_graph.__wrapped__(images, start, length, scaled, first, size)  # type: ignore[attr-defined]


@_resize_rows.register_fake
def _(images: Tensor, start: Any, length: Any, scaled: Any, first: Any, size: int) -> Tensor:
    return images.new_empty(*images.shape[:2], size, images.shape[3])


@torch.library.custom_op(
    "committee::when", mutates_args=(), schema="(Tensor needed, Tensor value, Tensor otherwise) -> Tensor"
)
def _when(needed: Tensor, value: Tensor, otherwise: Tensor) -> Tensor:
    return (value if needed.any() else otherwise).clone()


@_when.register_fake
def _(needed: Tensor, value: Tensor, otherwise: Tensor) -> Tensor:
    return torch.empty_like(value)


def _resize_nodes(images: Any, start: Any, length: Any, scaled: Any, first: Any, size: int) -> Any:
    """Write `committee.images.resize.resize_in_graph` in ONNX.

    If the size stays, rows are only selected; `add_branches` then skips the rest.
    """
    start, length, scaled, first = (_number(value) for value in (start, length, scaled, first))
    rows = op.Add(first, _constant(np.arange(size)))
    inside = op.And(
        op.GreaterOrEqual(first, _constant(0)), op.LessOrEqual(op.Add(first, _constant(size)), length)
    )
    needed = op.Not(op.And(op.Equal(length, scaled), inside))
    within = op.Add(op.Max(op.Min(rows, op.Sub(length, _constant(1))), _constant(0)), start)
    resized = _resampled(images, start, length, scaled, first, size)
    return op.Where(needed, resized, op.Gather(images, within, axis=2))


def _resampled(images: Any, start: Any, length: Any, scaled: Any, first: Any, size: int) -> Any:
    """Write the same without the selection, in the order of operations of torch."""
    start, length, scaled, first = (_number(value) for value in (start, length, scaled, first))
    blocks = -(-size // BLOCK)
    outputs = op.Add(first, _constant(np.arange(blocks * BLOCK).reshape(blocks, BLOCK, 1)))
    twice, wide = op.Add(scaled, scaled), op.Max(length, scaled)
    wide = op.Add(wide, wide)
    center = op.Mul(op.Add(op.Add(outputs, outputs), _constant(1)), length)
    span = op.Add(op.Mul(length, _constant(BLOCK - 1)), wide)
    count = op.Min(length, op.Add(op.Div(span, scaled), _constant(2)))
    steps = op.Range(_constant(0), count, _constant(1))
    # ONNX rounds a quotient towards zero: a negative number is set to zero before.
    reach = op.Sub(op.Add(op.Slice(center, [0], [1], [1]), scaled), wide)
    lowest = op.Div(op.Max(reach, _constant(0)), twice)
    inputs = op.Add(op.Min(lowest, op.Sub(length, count)), steps)
    distance = op.Abs(op.Sub(op.Mul(op.Add(op.Add(inputs, inputs), _constant(1)), scaled), center))
    inside = op.And(op.GreaterOrEqual(outputs, _constant(0)), op.Less(outputs, scaled))
    triangle = op.Mul(op.Max(op.Sub(wide, distance), _constant(0)), op.Cast(inside, to=ir.DataType.INT64))
    sums = op.CumSum(triangle, _constant(2))
    total = op.Max(op.Slice(sums, [-1], [2**62], [2]), _constant(1))
    rounded = op.Div(op.Add(op.Mul(sums, _constant(2 * UNIT)), total), op.Add(total, total))
    before = op.Slice(op.Pad(rounded, _constant([0, 0, 1, 0, 0, 0])), [0], [-1], [2])
    weights = op.Div(op.Cast(op.Sub(rounded, before), to=ir.DataType.FLOAT), _constant(UNIT, np.float32))
    pixels = op.Gather(images, op.Add(op.Squeeze(inputs, [1]), start), axis=2)
    batch = op.Shape(images, start=0, end=1)
    # onnxruntime does not broadcast to a batch of no images, hence Expand.
    weights = op.Expand(weights, op.Concat(batch, _constant([1, 1, 1, 1]), axis=0))
    result = op.MatMul(weights, op.Cast(pixels, to=ir.DataType.FLOAT))
    result = op.Cast(op.Round(result), to=ir.DataType.UINT8)
    shape = op.Concat(
        op.Shape(images, start=0, end=2), _constant([blocks * BLOCK]), op.Shape(images, start=3), axis=0
    )
    result = op.Reshape(result, shape)
    return op.Slice(result, [0], [size], [2]) if size % BLOCK else result


def _when_nodes(needed: Any, value: Any, otherwise: Any) -> Any:
    """Write a choice by one condition, of which `committee.base.onnx_branches` makes a branch."""
    some = op.ReduceSum(op.Cast(needed, to=ir.DataType.INT64), keepdims=0)
    return op.Where(op.Greater(some, _constant(0)), value, otherwise)


def _number(value: Any) -> Any:
    return _constant(value) if isinstance(value, int) else value


def _constant(value: Any, dtype: Any = np.int64) -> Any:
    return op.Constant(value=ir.tensor(np.array(value, dtype)))


OPERATIONS: dict[Callable[..., Any], Callable[..., Any]] = {resize_in_graph: _resize_rows, when: _when}
"""What is recorded in place of functions of committee; see `committee.base.tracing.tracing`."""

TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.committee.resize_rows.default: _resize_nodes,
    torch.ops.committee.when.default: _when_nodes,
}
"""The operations in ONNX, for `torch.onnx.export`."""

ALWAYS_RESIZED: dict[Callable[..., Any], Callable[..., Any]] = {
    **TRANSLATIONS,
    torch.ops.committee.resize_rows.default: _resampled,
}
"""The same for OpenVINO, version 2026.4 of which returns wrong values after two branches."""
