"""Tensors of the Open Inference Protocol v2, whatever carries them: JSON, binary data or gRPC."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.inference.predict import Prediction
from committee.models.predictor import Images
from committee.serving.refusal import BAD, Refusal
from committee.serving.served import VERSION, Served

INPUT = "images"
ANSWER = "answer"
"""Output with what `committee predict --json` says of each image."""
TYPES: Mapping[str, np.dtype[Any]] = {"UINT8": np.dtype("<u1"), "FP32": np.dtype("<f4")}
Content = bytes | Sequence[Any]
"""The values of a tensor: as bytes in row-major order, or as numbers."""


@dataclass(frozen=True)
class Tensor:
    """An output: BYTES are strings, others an array."""

    name: str
    datatype: str
    values: NDArray[Any]

    @property
    def shape(self) -> list[int]:
        """Length of each axis."""
        return list(self.values.shape)

    def tobytes(self) -> bytes:
        """Return the elements in row-major order; the length of a string is in the four bytes before it."""
        if self.datatype != "BYTES":
            return self.values.astype(TYPES[self.datatype], copy=False).tobytes()
        texts = [text.encode() for text in self.values.tolist()]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def metadata_of(served: Served) -> dict[str, Any]:
    """Return what the protocol says of a model."""
    outputs = [
        {"name": served.type.answers, "datatype": "FP32", "shape": served.output_shape},
        {"name": ANSWER, "datatype": "BYTES", "shape": [-1]},
    ]
    return {
        "name": served.name,
        "versions": [VERSION],
        "platform": "committee",
        "inputs": [{"name": INPUT, "datatype": served.datatype, "shape": served.shape}],
        "outputs": outputs,
    }


def check_input(served: Served, names: Sequence[Any]) -> None:
    """Raise a Refusal unless a request has the one input of a model."""
    if list(names) != [INPUT]:
        shown = ", ".join(ascii(str(name)[:50]) for name in names[:5])
        raise Refusal(BAD, "inputs", expected=f"one input '{INPUT}'", got=shown or "none")


def array_of(served: Served, datatype: Any, shape: Any, content: Content) -> Images:
    """Return the input of a model, `[B, c, H, W]` or of the shape that the model says.

    Raises
    ------
    Refusal
        Type, shape or number of elements are not those of the input.
    """
    if datatype != served.datatype:
        got = ascii(str(datatype)[:50])
        raise Refusal(BAD, f"datatype of '{INPUT}'", expected=f"'{served.datatype}'", got=got)
    lengths = _shape(served, shape)
    dtype, count = TYPES[served.datatype], math.prod(lengths)
    if isinstance(content, bytes | bytearray | memoryview):
        if len(content) != count * dtype.itemsize:
            expected = f"{count * dtype.itemsize} bytes for the shape {lengths}"
            raise Refusal(BAD, f"data of '{INPUT}'", expected=expected, got=str(len(content)))
        return np.frombuffer(content, dtype).reshape(lengths)
    return _numbers(content, dtype, count).reshape(lengths)


def _shape(served: Served, shape: Any) -> list[int]:
    """Return a shape that the model takes."""
    wanted = served.shape
    lengths = list(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else []
    valid = len(lengths) == len(wanted) and all(
        type(length) is int and length > 0 and least in (-1, length)
        for length, least in zip(lengths, wanted, strict=True)
    )
    if not valid:
        text = str(wanted).replace("-1", "any")
        raise Refusal(BAD, f"shape of '{INPUT}'", expected=f"lengths {text}", got=ascii(shape)[:100])
    return lengths


def _numbers(content: Sequence[Any], dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Return numbers as an array; nested lists are flattened."""
    flat: Sequence[Any] = content
    while flat and type(flat[0]) is list and all(type(each) is list for each in flat):
        flat = list(itertools.chain.from_iterable(flat))
    whole = dtype.kind == "u"
    what = "whole numbers 0..255" if whole else "finite numbers"
    if len(flat) != count:
        raise Refusal(BAD, f"data of '{INPUT}'", expected=f"{count} {what}", got=str(len(flat)))
    found = _array(flat, {int} if whole else {int, float})
    if found is None or not ((found >= 0) & (found <= 255) if whole else np.isfinite(found)).all():
        raise Refusal(BAD, f"data of '{INPUT}'", expected=what, got="other values")
    return found.astype(dtype)


def _array(flat: Sequence[Any], types: set[type]) -> NDArray[Any] | None:
    """Return values as an array, or None; numpy would convert a mixture to strings of any size."""
    if not set(map(type, flat)) <= types:
        return None
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, np.float32 if float in types else np.int64)
    except OverflowError:
        return None


def wanted_outputs(served: Served, names: Sequence[Any]) -> list[str]:
    """Return the outputs that a request names, or all if it names none.

    Raises
    ------
    Refusal
        The model has no such output.
    """
    known = [served.type.answers, ANSWER]
    for name in names:
        if name not in known:
            expected, got = " or ".join(f"'{each}'" for each in known), ascii(str(name)[:50])
            raise Refusal(BAD, "outputs", expected=expected, got=got)
    return list(names) or known


def outputs_of(served: Served, found: Sequence[Prediction], names: Sequence[str]) -> list[Tensor]:
    """Return outputs of predictions by their names."""
    tensors = []
    for name in names:
        if name == ANSWER:
            texts = [json.dumps(served.answer(each)) for each in found]
            tensors.append(Tensor(name, "BYTES", np.array(texts, object)))
        else:
            tensors.append(Tensor(name, "FP32", np.stack([_row(each) for each in found])))
    return tensors


def _row(prediction: Prediction) -> NDArray[np.float32]:
    assert prediction.probabilities is not None
    return prediction.probabilities


def facts_of(served: Served) -> dict[str, str]:
    """Return what each answer says of its model: the digest, and the guarantee of prediction sets."""
    return {"digest": served.digest} | ({"note": served.rule.note} if served.rule.note else {})
