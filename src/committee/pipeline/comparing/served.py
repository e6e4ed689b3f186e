"""Exported files, each measured in processes of its own, in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from committee.errors import ExportError
from committee.models.timing import Times, Timing, interleaved
from committee.pipeline.shared.photo import Photos

COMMAND = (sys.executable, "-P", "-m", "committee.pipeline.comparing.child")
PATIENCE = 300.0
"""Time limit of one process, in seconds."""
BATCH = 32


@dataclass(frozen=True)
class Served:
    """What it takes to run a file.

    Attributes
    ----------
    latency : mapping of str to Timing
        By the number of images per call.
    memory : mapping of str to (float or None)
        Peak memory of the process in MB: before the file is opened (`start`), and after the calls with each
        number of images. None where the system does not report it.
    """

    latency: Mapping[str, Timing]
    memory: Mapping[str, float | None]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "latency_ms": {
                size: {**each.to_json(), "steady": each.is_steady} for size, each in self.latency.items()
            },
            "memory_mb": dict(self.memory),
        }


def serve(
    files: Mapping[str, Path],
    photos: Photos,
    device: str,
    trusted: Collection[str] = (),
    run: Callable[[Path], Mapping[str, Any]] | None = None,
) -> tuple[dict[str, Served], dict[str, Exception]]:
    """Measure files in turns, each in a new process per round, and again while their rounds differ.

    Parameters
    ----------
    files : mapping of str to Path
        Exported files, or folders of a format in a package, by name.
    photos : Photos
        The images that are predicted one by one and as a batch.
    device : str
        Device that runs the files.
    trusted : collection of str
        The formats that may run code, and the `python:` names that may be imported; see `open_exported`.
    run : callable, optional
        Starts the process of a request and returns its result; for tests.

    Returns
    -------
    served : dict of str to Served
    failed : dict of str to Exception
        Files whose process failed.
    """
    failed: dict[str, Exception] = {}
    memory: dict[str, dict[str, float | None]] = {name: {} for name in files}
    start = run or _run

    def measure(name: str, request: Path) -> dict[str, Times]:
        if name in failed:
            return {}
        try:
            found = start(request)
        except ExportError as error:
            failed[name] = error
            return {}
        for key, value in found["memory_mb"].items():
            memory[name][key] = value if value is None else max(value, memory[name].get(key) or 0.0)
        return {size: np.array(times) for size, times in found["times"].items()}

    with tempfile.TemporaryDirectory() as folder:
        images = {f"photo_{place:03}": image for place, image in enumerate(photos.singles)}
        stored = Path(folder, "photos.npz")
        np.savez(stored, batch=photos.batch, **images)  # type: ignore[arg-type]
        requests = {}
        for place, (name, file) in enumerate(files.items()):
            requests[name] = Path(folder, f"{place}.json")
            request = {
                "file": str(file),
                "photos": str(stored),
                "device": device,
                "trusted": sorted(trusted),
            }
            requests[name].write_text(json.dumps(request), encoding="utf-8")
        found = interleaved({name: partial(measure, name, requests[name]) for name in files})
    served = {
        name: Served({size: Timing.of(rounds) for size, rounds in each.items()}, memory[name])
        for name, each in found.items()
        if name not in failed
    }
    return served, failed


def _run(request: Path) -> Mapping[str, Any]:
    """Run the process of a request."""
    path = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
    try:
        ended = subprocess.run(
            [*COMMAND, str(request)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
            env=os.environ | {"PYTHONPATH": path},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failure(request, f"one that took more than {PATIENCE:g} seconds") from None
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise _failure(request, f"one that ended with: {lines[-1]}")
    result: Mapping[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return result


def _failure(request: Path, got: str) -> ExportError:
    file = json.loads(request.read_text(encoding="utf-8"))["file"]
    return ExportError(
        str(file),
        expected="a file whose process answers",
        got=got,
        todo="Leave it out with compare.models, or compare another format with --format.",
    )
