"""A model in an ONNX file, run by onnxruntime without torch and without a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from committee.errors import DeviceError, StoreError, UsageError, missing, require
from committee.models.predictor import Images, Probabilities

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxPredictor:
    """An exported ONNX file as a `Predictor`.

    Parameters
    ----------
    path : Path
        The `.onnx` file; weights beyond 2 GiB are in a second file beside it.
    device : {"cpu", "cuda", "auto"}
        Device that runs the graph; `auto` is CUDA if the installed onnxruntime supports it.

    Raises
    ------
    UsageError
        The file does not exist.
    StoreError
        The file is damaged, or was not written by committee.
    DeviceError
        onnxruntime does not support the device.
    DependencyError
        onnxruntime is not installed.

    See Also
    --------
    committee.exporters.onnx.Onnx : Writes such files, with an example.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        self._session = _open(Path(path), device)
        facts = self._session.get_modelmeta().custom_metadata_map
        if "class_names" not in facts:
            raise StoreError(
                str(path),
                expected="an ONNX file that committee wrote",
                got="one without class names",
                todo="Write one with: committee export --model-name NAME",
            )
        self.class_names: tuple[str, ...] = tuple(json.loads(facts["class_names"]))
        self.name: str = facts["name"]
        self.provenance: dict[str, Any] = json.loads(facts["provenance"])
        self.channels: int = self._session.get_inputs()[0].shape[1]

    def __call__(self, images: Images) -> Probabilities:
        """Return the probabilities, float32 `[B, C]`, of images uint8 `[B, c, H, W]` of any size."""
        inputs = {"images": np.ascontiguousarray(images)}
        probabilities: Probabilities = self._session.run(["probabilities"], inputs)[0]
        return probabilities


def _open(path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise require("onnxruntime", "onnx", "running an ONNX file") from None
    provider = _provider(device, onnxruntime.get_available_providers())
    if not path.is_file():
        raise missing(UsageError, path)
    try:
        return onnxruntime.InferenceSession(str(path), providers=[provider])
    except Exception as error:  # onnxruntime raises a different class for each kind of damage
        raise StoreError(
            str(path),
            expected="a complete ONNX file",
            got="a damaged one",
            todo="Write it again with: committee export --model-name NAME",
        ) from error


def _provider(device: str, available: list[str]) -> str:
    """Return onnxruntime's name of a device."""
    names = [name for name, provider in _PROVIDERS.items() if provider in available]
    chosen = names[-1] if device == "auto" else device
    if chosen not in names:
        raise DeviceError(
            "device",
            expected=f"one that onnxruntime supports here ({', '.join(names)})",
            got=f"'{device}'",
            todo="Use the best one with --set device=auto.",
        )
    return _PROVIDERS[chosen]
