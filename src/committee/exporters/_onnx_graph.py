"""Translation of a module to an ONNX file."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from committee.backbones.base import Backbone
from committee.base.tracing import tracing
from committee.compression.base import NETWORK
from committee.errors import ExportError, require
from committee.exporters.base import INPUT, Card

# A protobuf file contains at most 2 GiB; a part of it is reserved for the graph beside the weights.
LARGEST_FILE = 2**31 - 2**26

_BACKBONE = f"{Backbone.__module__}.{Backbone.__qualname__}"
_DYNAMIC = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}


def write(module: nn.Module, example: Tensor, path: Path, card: Card) -> Path:
    """Write a module to an ONNX file and return its path; see `Exporter.export`."""
    _require_packages()
    from committee.exporters._onnx_branches import add_branches

    model = _translate(module, example, card).model
    add_branches(model.graph)
    for node in model.graph.all_nodes():
        if _BACKBONE in node.metadata_props.get("pkg.torch.onnx.class_hierarchy", ""):
            node.name = f"{NETWORK}{node.name}"
        # The source line of each node: half of a small file, and paths of this machine.
        node.metadata_props.clear()
    model.metadata_props.update(
        name=card.name,
        class_names=json.dumps(card.class_names, ensure_ascii=False),
        provenance=json.dumps(dict(card.facts), ensure_ascii=False),
        input=json.dumps(INPUT),
    )
    return _save(model, path)


class _Probabilities(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        probabilities: Tensor = self.model(images).float().softmax(1)
        return probabilities


def _translate(module: nn.Module, example: Tensor, card: Card) -> Any:
    # A length of 1 would be recorded as one that broadcasts.
    batch, _, *sides = (2 if length == 1 else 1 for length in example.shape)
    example = example.repeat(batch, 1, *sides)
    from committee.exporters._onnx_operations import OPERATIONS, TRANSLATIONS

    try:
        with _quiet(), tracing(module, OPERATIONS):
            return torch.onnx.export(
                _Probabilities(module).eval(),
                (example,),
                dynamo=True,
                verbose=False,
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes={"images": _DYNAMIC},
                custom_translation_table=TRANSLATIONS,
            )
    except Exception as error:
        raise ExportError(
            f"onnx of {card.name}",
            expected="a module that torch.export can trace",
            got=_root_cause(error),
            todo="Leave 'onnx' out of exports.formats, or name the backbone in backbones.exclude.",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' log messages and the warnings that do not concern the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        # A member of weight zero has the logarithm -inf, about which constant folding warns.
        with np.errstate(divide="ignore"), warnings.catch_warnings():
            # torch warns about calls of its own that a later version of torch will refuse.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _root_cause(error: BaseException) -> str:
    """Return the first line of the original error, without torch's advice on how to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _save(model: Any, path: Path) -> Path:
    import onnx_ir

    size = sum(value.const_value.nbytes for part in model.graphs() for value in part.initializers.values())
    onnx_ir.save(model, path, external_data=f"{path.name}.data" if size > LARGEST_FILE else None)
    return path


def _require_packages() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise require(package, "onnx", "exporting to ONNX") from None
