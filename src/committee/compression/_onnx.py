"""Shared code of methods that rewrite an ONNX file: reading, the nodes of networks, writing."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from committee.compression.base import NETWORK, Images
from committee.errors import ExportError, require

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


def read(file: Path) -> Any:
    """Return the model in an ONNX file, without the shapes that the exporter recorded.

    Quantization transposes weights, which contradicts recorded shapes; they are inferred again.
    """
    import onnx

    model = onnx.load(file)
    del model.graph.value_info[:]
    return model


def write(model: Any, folder: Path) -> Path:
    """Write a model into a folder and return its file; weights beyond 2 GiB go to a second file."""
    import onnx

    path = folder / FILE
    onnx.save(model, path, save_as_external_data=model.ByteSize() > _LARGEST_FILE, location=f"{FILE}.data")
    return path


def network_nodes(model: Any, who: str) -> list[Any]:
    """Return the nodes of the graph that belong to a network.

    Raises
    ------
    ExportError
        There are none.
    """
    found = [node for node in model.graph.node if node.name.startswith(NETWORK)]
    if not found:
        raise ExportError(
            who,
            expected="an ONNX file that this version of committee exported, with a network in its main graph",
            got="no node of a network",
            todo="Export the model again: committee export --model-name NAME --formats onnx",
        )
    return found


def batches(images: Images) -> Iterator[Images]:
    """Yield the images of a calibration in batches."""
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the advice that quantization writes to the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
