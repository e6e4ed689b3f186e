"""An export format: an ONNX file of another name."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from committee.exporters.base import Card, Exporter
from committee.exporters.onnx import Onnx
from committee.models.predictor import Predictor


class Sealed(Exporter):
    """ONNX in a file that ends in `.sealed`."""

    suffix = ".sealed"
    graph = True

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write the file; see the base class."""
        file = Onnx().export(module, example, folder, card)
        return file.rename(file.with_suffix(self.suffix))

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open the file; see the base class."""
        return Onnx().open(file, device)
