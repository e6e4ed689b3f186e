"""A TFLite file as a function, in this process if `ai-edge-litert` is installed, else in a child process."""

from __future__ import annotations

import subprocess
import threading
import weakref
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from committee.errors import is_installed
from committee.exporters import _tflite_child
from committee.exporters.shared.tflite_environment import command

SECONDS = 300.0
"""Time limit of a call."""


class ChildRunner:
    """A TFLite file in a process of the environment for TFLite, which ends with this object.

    Parameters
    ----------
    file : Path
        The file.

    Raises
    ------
    DependencyError
        There is no environment.
    """

    def __init__(self, file: Path) -> None:
        self._process = subprocess.Popen(
            command("run", str(file)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        weakref.finalize(self, _end, self._process)

    def __call__(self, images: list[Any]) -> Any:
        """Return the output for the inputs, uint8 arrays."""
        limit = threading.Timer(SECONDS, self._process.kill)
        limit.start()
        try:
            _tflite_child.write(cast("Any", self._process.stdin), images)
            found = _tflite_child.read(cast("Any", self._process.stdout))
        finally:
            limit.cancel()
        if found is None:
            raise RuntimeError(f"the process that runs the file has ended, or took more than {SECONDS:g} s")
        return found[0]


def runner(file: Path) -> Any:
    """Return a function from resized images, uint8 tensors, to probabilities, float32 tensor."""
    has_runtime = is_installed("ai_edge_litert")
    call = _tflite_child.caller(str(file)) if has_runtime else ChildRunner(file)

    def run(parts: list[Tensor]) -> Tensor:
        return torch.from_numpy(call([part.numpy() for part in parts]).copy())

    return run


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        cast("IO[bytes]", stream).close()
    process.terminate()
    process.wait()
