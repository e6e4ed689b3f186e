"""A model in an ONNX file, run by onnxruntime alone: no torch, no store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from committee.errors import DeviceError, StoreError, UsageError, require
from committee.exporters._predictor import Images, Probabilities

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxPredictor:
    """An exported file, ready to predict.

    Parameters
    ----------
    path : Path
        The `.onnx` file; weights past 2 GiB lie in a file beside it.
    device : {"cpu", "cuda", "auto"}
        Where it runs; `auto` is CUDA where onnxruntime was installed with it.

    Raises
    ------
    UsageError
        There is no such file.
    StoreError
        It is damaged, or was not made by committee.
    DeviceError
        onnxruntime has no such device.
    DependencyError
        onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        self._session = _open(Path(path), device)
        facts = self._session.get_modelmeta().custom_metadata_map
        if "class_names" not in facts:
            raise StoreError(
                str(path),
                expected="an ONNX file that committee wrote",
                got="one without class names",
                todo="Make one with: committee export --model-name NAME",
            )
        self.class_names: tuple[str, ...] = tuple(json.loads(facts["class_names"]))
        self.name: str = facts["name"]
        self.provenance: dict[str, Any] = json.loads(facts["provenance"])
        self.channels: int = self._session.get_inputs()[0].shape[1]

    def __call__(self, images: Images) -> Probabilities:
        """Turn uint8 `[B, c, H, W]`, any H and W, into probabilities float32 `[B, C]`."""
        answer: Probabilities = self._session.run(
            ["probabilities"], {"images": np.ascontiguousarray(images)}
        )[0]
        return answer


def _open(path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise require("onnxruntime", "onnx", "running an ONNX file") from None
    here = onnxruntime.get_available_providers()
    names = [name for name, provider in _PROVIDERS.items() if provider in here]
    chosen = names[-1] if device == "auto" else device
    if chosen not in names:
        raise DeviceError(
            "device",
            expected=f"one that onnxruntime has here ({', '.join(names)})",
            got=f"'{device}'",
            todo="Take the best one with --device auto.",
        )
    if not path.is_file():
        raise UsageError(str(path), expected="an ONNX file", got="no such file")
    try:
        return onnxruntime.InferenceSession(str(path), providers=[_PROVIDERS[chosen]])
    except Exception as error:  # onnxruntime has a class of its own for each way to fail
        raise StoreError(
            str(path),
            expected="a whole ONNX file",
            got="a damaged one",
            todo="Make it again with: committee export --model-name NAME",
        ) from error
