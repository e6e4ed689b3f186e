"""A model in an ONNX file, run by onnxruntime without torch and without a store."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from committee.errors import DataError, DeviceError, StoreError, UsageError, missing, require
from committee.exporters.base import canvases_in
from committee.models.predictor import Images, Probabilities
from committee.predictions.target_types import CLASSES, TARGET_TYPES, TargetType

_STD = "std"
"""Output with the standard deviations of numbers."""
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
INPUT = "images"


class OnnxPredictor:
    """An exported ONNX file as a `Predictor`; inputs, outputs and metadata are checked when it is opened.

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
        self._path = Path(path)
        self._session, self._options = _open(self._path, device)
        facts = self._session.get_modelmeta().custom_metadata_map
        self.class_names: tuple[str, ...] = _class_names(self._path, facts)
        self.name = str(facts.get("name", self._path.stem))
        self.provenance: dict[str, Any] = _json(self._path, facts, "provenance", dict, "{}")
        self.target_type, self.units = _predicts(self._path, facts, len(self.class_names))
        self.input_shape: tuple[int, ...] = _input_shape(self._session.get_inputs())
        self.channels: int = (*self.input_shape, 0)[0] or _channels(self._path, self._session.get_inputs())
        self.canvases = canvases_in(_json(self._path, facts, "canvas", list, "[]"), self.channels)
        outputs, answers = self._session.get_outputs(), self.target_type.answers
        dense = self.target_type.dense
        _check_output(self._path, outputs, answers, len(self.class_names), dense)
        self.std_names: tuple[str, ...] = (_STD,) if any(each.name == _STD for each in outputs) else ()
        for name in self.std_names:
            _check_output(self._path, outputs, name, len(self.class_names), dense)

    def __call__(self, images: Images) -> Probabilities:
        """Return the probabilities or numbers, float32 `[B, C]` or `[B, C, H, W]`, of uint8 `[B, c, H, W]`.

        Raises
        ------
        DataError
            The graph fails on these images.
        """
        return self._run(images, [self.target_type.answers])[0]

    def spread_of(self, images: Images) -> Probabilities:
        """Return numbers and their standard deviations, float32 `[B, T, 2]`; raise as for values."""
        return np.stack(self._run(images, [self.target_type.answers, *self.std_names]), axis=-1)

    def _run(self, images: Images, outputs: list[str]) -> list[Probabilities]:
        inputs = {INPUT: np.ascontiguousarray(images)}
        self._options.terminate = False  # an earlier call may have been stopped
        try:
            found: list[Probabilities] = self._session.run(outputs, inputs, self._options)
        except Exception as error:  # onnxruntime raises a different class for each kind of failure
            raise DataError(
                str(self._path),
                expected=f"a graph that runs on images {list(images.shape)}",
                got=_first_line(error),
                todo="Write the file again with: committee export --model-name NAME",
            ) from error
        return found

    def stop(self) -> None:
        """End the call that runs in another thread, after its present operation."""
        self._options.terminate = True


def _open(path: Path, device: str) -> tuple[Any, Any]:
    """Return the session of a file, and the options of its runs."""
    try:
        import onnxruntime
    except ImportError:
        raise require("onnxruntime", "onnx", "running an ONNX file") from None
    provider = _provider(device, onnxruntime.get_available_providers())
    if not path.is_file():
        raise missing(UsageError, path)
    options, runs = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
    options.log_severity_level = runs.log_severity_level = 4  # errors are raised, and not printed too
    # Threads that wait actively take as much processor time as the work, and delay it on a busy machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():  # which onnxruntime does not read
        options.intra_op_num_threads = int(threads)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[provider]), runs
    except Exception as error:  # onnxruntime raises a different class for each kind of damage
        raise _foreign(path, "a complete ONNX file", "a damaged one") from error


def _class_names(path: Path, facts: Mapping[str, str]) -> tuple[str, ...]:
    if "class_names" not in facts:
        raise _foreign(path, "an ONNX file that committee wrote", "one without class names")
    names = _json(path, facts, "class_names", list)
    if not names or not all(isinstance(name, str) for name in names):
        raise _foreign(path, "a list of class names in its metadata", facts["class_names"][:80])
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _foreign(path, "different class names in its metadata", f"'{twice}' twice")
    return tuple(names)


def _predicts(path: Path, facts: Mapping[str, str], outputs: int) -> tuple[TargetType, tuple[str, ...]]:
    """Return what a file predicts, and the units of its targets."""
    name = json.loads(facts.get("target_type", f'"{CLASSES.name}"'))
    units = _json(path, facts, "units", list, "[]")
    if name not in TARGET_TYPES or len(units) not in (0, outputs):
        raise _foreign(path, f"target_type {' or '.join(TARGET_TYPES)} in its metadata", f"{name!r}")
    return TARGET_TYPES[name], tuple(map(str, units))


def _json(path: Path, facts: Mapping[str, str], key: str, kind: type, default: str = "") -> Any:
    """Return the JSON value of one entry of the metadata."""
    text = facts.get(key, default)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        what = "object" if kind is dict else "list"
        raise _foreign(path, f"a JSON {what} as '{key}' in its metadata", f"'{text[:80]}'")
    return value


def _input_shape(inputs: list[Any]) -> tuple[int, ...]:
    """Return the shape of one input of a graph of floating-point numbers; nothing of one of images."""
    if len(inputs) != 1 or inputs[0].name != INPUT or inputs[0].type != "tensor(float)":
        return ()
    batch, *shape = inputs[0].shape
    fixed = not isinstance(batch, int) and all(isinstance(length, int) and length > 0 for length in shape)
    return tuple(shape) if fixed else ()


def _channels(path: Path, inputs: list[Any]) -> int:
    expected = f"one input '{INPUT}', uint8 [batch, 1 or 3, height, width], of free height and width"
    if len(inputs) == 1 and inputs[0].name == INPUT and inputs[0].type == "tensor(uint8)":
        shape = inputs[0].shape
        if len(shape) == 4 and shape[1] in (1, 3) and not any(isinstance(shape[k], int) for k in (0, 2, 3)):
            return int(shape[1])
    raise _foreign(path, expected, _listed(inputs))


def _check_output(path: Path, outputs: list[Any], name: str, classes: int, dense: bool) -> None:
    shape = f"[batch, {classes}, height, width]" if dense else f"[batch, {classes}]"
    expected = f"an output '{name}', float {shape}, for {classes} class names"
    found = next((each for each in outputs if each.name == name), None)
    if found is None or found.type != "tensor(float)" or len(found.shape) != (4 if dense else 2):
        raise _foreign(path, expected, _listed(outputs))
    if isinstance(found.shape[1], int) and found.shape[1] != classes:
        raise _foreign(path, expected, _listed(outputs))


def _listed(values: list[Any]) -> str:
    found = [f"'{each.name}' {each.type.removeprefix('tensor').strip('()')} {each.shape}" for each in values]
    return ", ".join(found[:5]) or "none"


def _foreign(path: Path, expected: str, got: str) -> StoreError:
    todo = "Write it again with: committee export --model-name NAME"
    return StoreError(str(path), expected=expected, got=got, todo=todo)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


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
