"""ONNX: one file for a whole ensemble, any photo in, calibrated probabilities out."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from committee.errors import ExportError, require
from committee.exporters._onnx_file import OnnxPredictor
from committee.exporters.base import Card, Exporter

# A protobuf file holds at most 2 GiB; the graph beside the weights needs some of it.
LARGEST_FILE = 2**31 - 2**26

_DYNAMIC = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}


class Onnx(Exporter):
    """One file: `images` uint8 `[batch, c, height, width]` -> `probabilities` float32 `[batch, classes]`.

    Batch, height and width are free. Preprocessing, all members, the combiner and its temperature are inside;
    the metadata hold `name`, `class_names` and `provenance` (JSON). Weights past 2 GiB lie beside the file.
    """

    graph = True

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.onnx`; see the base class."""
        _need_packages()
        model = _translate(module, example, card).model
        for node in model.graph.all_nodes():
            # It says which line of which file made the node: half of a small file, and paths of this machine.
            node.metadata_props.clear()
        model.metadata_props.update(
            name=card.name,
            class_names=json.dumps(card.class_names, ensure_ascii=False),
            provenance=json.dumps(dict(card.facts), ensure_ascii=False),
        )
        return _save(model, folder / "model.onnx")

    def load(self, file: Path, module: nn.Module) -> OnnxPredictor:
        """Read `model.onnx`; see the base class."""
        return OnnxPredictor(file)


class _Probabilities(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        probabilities: Tensor = self.model(images).float().softmax(1)
        return probabilities


def _translate(module: nn.Module, example: Tensor, card: Card) -> Any:
    noise = logging.getLogger("torch.onnx"), logging.getLogger("onnxscript"), logging.getLogger("onnx_ir")
    levels = [each.level for each in noise]
    for each in noise:
        each.setLevel(logging.ERROR)
    try:
        # A member of weight zero has the logarithm -inf, which constant folding warns of.
        with np.errstate(divide="ignore"), warnings.catch_warnings():
            # The exporter's own, of calls inside torch that a later version of torch will refuse.
            warnings.simplefilter("ignore", FutureWarning)
            return torch.onnx.export(
                _Probabilities(module).eval(),
                (example,),
                dynamo=True,
                verbose=False,
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes={"images": _DYNAMIC},
            )
    except Exception as error:
        # The exporter wraps what went wrong in advice on how to report it.
        first: BaseException = error
        while first.__cause__ is not None:
            first = first.__cause__
        reason = str(first).strip().partition("\n")[0] or type(first).__name__
        raise ExportError(
            f"onnx of {card.name}",
            expected="a module that torch.export can trace",
            got=reason,
            todo="Leave 'onnx' out of exports.formats, or name the backbone in backbones.exclude.",
        ) from error
    finally:
        for each, level in zip(noise, levels, strict=True):
            each.setLevel(level)


def _save(model: Any, path: Path) -> Path:
    import onnx_ir

    size = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    onnx_ir.save(model, path, external_data=f"{path.name}.data" if size > LARGEST_FILE else None)
    return path


def _need_packages() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise require(package, "onnx", "exporting to ONNX") from None
