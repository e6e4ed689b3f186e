"""Shared code of methods that rewrite an ONNX file: packages, calibration images, writing."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from committee.compression.base import Images
from committee.errors import require

FILE = "model.onnx"
BATCH = 16
"""Images in a batch of the calibration."""
_LARGEST_FILE = 2**31 - 2**26


def require_packages(packages: Collection[str], extra: str, purpose: str) -> None:
    """Raise DependencyError with the install line for the first package that is not installed."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            raise require(package, extra, purpose) from None


def write(model: Any, folder: Path) -> Path:
    """Write a model that was read into a folder, with its branches, and return its file."""
    import onnx

    if any(node.op_type == "Where" for node in model.graph.node):
        import onnx_ir

        from committee.base.onnx_branches import add_branches

        found = onnx_ir.from_proto(onnx.shape_inference.infer_shapes(model))
        add_branches(found.graph)
        model = onnx_ir.to_proto(found)
    return save(model, folder)


def save(model: Any, folder: Path) -> Path:
    """Write a model as it is into a folder; weights beyond 2 GiB go to a second file."""
    import onnx

    path = folder / FILE
    onnx.save(model, path, save_as_external_data=model.ByteSize() > _LARGEST_FILE, location=f"{FILE}.data")
    return path


def batches(images: Images) -> Iterator[Images]:
    """Yield the images of a calibration in batches."""
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]
