"""The Python environment that writes TFLite files, whose packages do not go together with committee's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from committee.base.folders import user_cache
from committee.errors import DependencyError, ExportError, TimeLimitError

REQUIREMENTS = (
    "torch==2.13.0",
    "torchvision==0.28.0",
    "litert-torch==0.10.0",
    "litert-converter==0.5.0",
    "ai-edge-litert==2.3.0",
    "ai-edge-quantizer==0.10.0",
    "jax==0.10.2",
    "jaxlib==0.10.2",
    "numpy==2.4.6",
    "torchao==0.18.0",
    "transformers==5.24.0",
)
VARIABLE = "COMMITTEE_TFLITE_ENV"
COMPLETE = "committee.json"
CHILD = Path(__file__).parents[1] / "_tflite_child.py"
_CHECK_SECONDS, _INSTALL_SECONDS = 300.0, 3600.0


def folder() -> Path:
    """Return the folder of the environment: that of `COMMITTEE_TFLITE_ENV`, or one in the user's cache."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else user_cache("tflite")


def python(place: Path) -> Path:
    """Return the interpreter of an environment."""
    return place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def is_complete(place: Path) -> bool:
    """Return whether an environment was prepared to its end, with the packages of this version."""
    try:
        facts = json.loads((place / COMPLETE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(facts == {"requirements": list(REQUIREMENTS)}) and python(place).exists()


def prepare(place: Path, report: Callable[[str], None]) -> None:
    """Create an environment, or complete one whose preparation was interrupted.

    Parameters
    ----------
    place : Path
        The folder.
    report : callable
        Gets a line of text before each step.

    Raises
    ------
    DependencyError
        The packages cannot be installed or imported.
    """
    if is_complete(place):
        return
    report(f"Creating {place}")
    try:
        venv.create(place, with_pip=True)  # again after an interruption, which may have left it without pip
    except (OSError, subprocess.CalledProcessError) as error:
        todo = "Install Python's module ensurepip (on Debian: apt install python3-venv), or check the folder."
        raise DependencyError(
            f"creating {place}", expected="an environment with pip", got=_last_line(str(error)), todo=todo
        ) from error
    report("Installing packages (about 2 GB; a few minutes)")
    # pip keeps what it has downloaded, so that a second call continues.
    install = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet", *REQUIREMENTS]
    _succeed([str(python(place)), *install], "installing the packages for tflite", _INSTALL_SECONDS)
    report("Checking")
    _succeed([str(python(place)), str(CHILD), "check"], "the packages for tflite", _CHECK_SECONDS)
    text = json.dumps({"requirements": list(REQUIREMENTS)})
    (place / COMPLETE).write_text(text + "\n", encoding="utf-8")


def _succeed(line: Sequence[str], what: str, limit: float) -> None:
    todo = "Run the command again: what is installed already is kept."
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        expected = f"an end within {error.timeout:g} s"
        raise DependencyError(what, expected=expected, got="none", todo=todo) from None
    if done.returncode:
        raise DependencyError(what, expected="exit code 0", got=_last_line(done.stderr), todo=todo)


def command(*arguments: str) -> list[str]:
    """Return a command line for the environment; raise DependencyError if it is not prepared."""
    place = folder()
    if not is_complete(place):
        raise DependencyError(
            "the format tflite",
            expected=f"its environment in {place}",
            got="none" if not place.exists() else "an incomplete one",
            todo="Prepare it with: committee export-env tflite",
        )
    return [str(python(place)), str(CHILD), *arguments]


def convert(program: Path, file: Path, seconds: float, who: str) -> None:
    """Write a program of `torch.export` as a TFLite file, in a process of the environment.

    Raises
    ------
    DependencyError
        There is no environment.
    TimeLimitError
        The conversion takes longer than `seconds`.
    ExportError
        The conversion fails.
    """
    line = command("convert", str(program), str(file))
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise TimeLimitError(
            who,
            expected=f"a conversion within {seconds:g} s",
            got="one that takes longer",
            todo="Raise the limit with the option seconds: {format: tflite, seconds: 3600}.",
        ) from None
    if done.returncode or not file.is_file():
        raise ExportError(
            who,
            expected="a model that litert-torch converts",
            got=_last_line(done.stderr),
            todo="Leave 'tflite' out of exports.formats, or name the backbone in backbones.exclude.",
        )


def _last_line(text: str) -> str:
    """Return the last line that names an error, or else the last one: advice may follow the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception|ERROR):", line)]
    return (errors or lines or ["no message"])[-1][:300]
