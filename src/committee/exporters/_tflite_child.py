"""What runs in the environment for TFLite, in which committee is not installed: conversion and prediction.

The commands are `check`, `convert PROGRAM.pt2 MODEL.tflite`, and `run MODEL.tflite`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, BinaryIO

import numpy as np

OPERATORS = ("nms", "qnms")
"""Operators without which torchvision does not import, and which it lacks with torch of another build."""


def main(arguments: list[str]) -> None:
    """Run a command."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the libraries write to standard output, which belongs to the answers
    command, *paths = arguments
    if command == "check":
        check()
    elif command == "convert":
        convert(*paths)
    else:
        serve(paths[0], sys.stdin.buffer, answers)


def converter() -> Any:
    """Return the module `litert_torch`."""
    import torch

    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_library"] = library  # the operators exist as long as the library
    return importlib.import_module("litert_torch")


def convert(program: str, path: str) -> None:
    """Write a program of `torch.export` as a TFLite file."""
    import torch

    module = torch.export.load(program).module()
    with open(f"{program}.json", encoding="utf-8") as file:  # noqa: PTH123
        inputs = tuple(torch.zeros(shape, dtype=torch.uint8) for shape in json.load(file))
    converter().convert(module, inputs).export(path)


def check() -> None:
    """Raise an error unless the libraries of the environment can be imported."""
    converter()
    importlib.import_module("ai_edge_litert.interpreter")


def caller(path: str) -> Any:
    """Return a function from the inputs of a TFLite file, uint8 arrays, to its output."""
    interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter(path, num_threads=1)
    runner = interpreter.get_signature_runner()

    def call(images: list[Any]) -> Any:
        (found,) = runner(**{f"args_{place}": each for place, each in enumerate(images)}).values()
        return found

    return call


def serve(path: str, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end."""
    call = caller(path)
    while (images := read(requests)) is not None:
        write(answers, [call(images)])


def write(stream: BinaryIO, arrays: list[Any]) -> None:
    """Write arrays: their types and shapes as a line of JSON, and then their bytes."""
    facts = [[array.dtype.str, array.shape] for array in arrays]
    stream.write(json.dumps(facts).encode() + b"\n")
    for array in arrays:
        stream.write(np.ascontiguousarray(array).tobytes())
    stream.flush()


def read(stream: BinaryIO) -> list[Any] | None:
    """Read what `write` wrote; return None at the end of the stream."""
    line = stream.readline()
    if not line:
        return None
    found = []
    for dtype, shape in json.loads(line):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        found.append(np.frombuffer(stream.read(size), dtype).reshape(shape))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
