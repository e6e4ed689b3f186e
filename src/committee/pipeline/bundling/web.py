"""The page that runs the model in a browser with onnxruntime-web, and where that package comes from."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from committee.errors import DependencyError, UsageError
from committee.pipeline.bundling.subject import Content, Subject

log = logging.getLogger(__name__)

PACKAGE = "onnxruntime-web@1"
RUNTIME = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""The files of the npm package that the page needs: it runs the model in WebAssembly."""
SECONDS = 300


def files(subject: Subject, runtime: Path | None) -> Content:
    """Return `web/`: the page, and onnxruntime-web from a folder with the files `RUNTIME`, if there is one.

    A browser does not open a model of more than 2 GiB: then there is no page. There is none for maps either.
    """
    if subject.target_type.dense:
        log.info("The bundle has no web page: the page shows classes and numbers of photos, and not maps")
    if subject.weights is not None or subject.target_type.dense:
        return {}
    page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    values = {
        "NAME": subject.name,
        "MODEL": subject.place,
        "CHANNELS": subject.channels,
        "OUTPUT": subject.target_type.answers,
        "OUTPUTS": subject.target_type.outputs,
        "UNITS": json.dumps(subject.units).replace("<", "\\u003c"),  # a unit cannot end the script
    }
    for key, value in values.items():
        page = page.replace(f"@{key}@", str(value))
    found = {} if runtime is None else {f"web/ort/{name}": runtime / name for name in RUNTIME}
    return {"web/index.html": page.encode(), **found}


@contextmanager
def runtime_files(source: str) -> Iterator[Path | None]:
    """Yield a folder with onnxruntime-web: None for `none`, a download for `npm`, or one that exists.

    Raises
    ------
    UsageError
        The folder lacks a file of the package.
    DependencyError
        npm is not installed, or cannot get the package.
    """
    if source == "npm":
        with tempfile.TemporaryDirectory() as folder:
            yield _downloaded(Path(folder))
    else:
        yield None if source == "none" else _found(Path(source))


def _found(folder: Path) -> Path:
    """Return the folder with the files of the package: `folder`, or where the package has them in it."""
    places = [folder / part for part in ("", "dist", "onnxruntime-web/dist")]
    places.append(folder / "node_modules" / "onnxruntime-web" / "dist")
    whole = next((each for each in places if all((each / name).is_file() for name in RUNTIME)), None)
    if whole is None:
        raise UsageError(
            "--web-runtime",
            expected=f"npm, none, or a folder of onnxruntime-web with {', '.join(RUNTIME)}",
            got=f"'{folder}'",
            todo="Get the package with: npm install onnxruntime-web, then name the folder node_modules.",
        )
    return whole


def _downloaded(folder: Path) -> Path:
    """Get the package with npm, which reads its own settings for the registry, and unpack its files."""
    npm = shutil.which("npm")  # on Windows, npm is a script whose full name is needed
    if npm is None:
        raise _no_package("none installed", "Install Node.js, or")
    command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise _no_package(f"no answer in {SECONDS} s", "Try again, or") from None
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip()]
        raise _no_package(lines[-1] if lines else f"exit code {error.returncode}", "Try again, or") from error
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:  # most of its 130 MB are not needed
        for name in RUNTIME:
            try:
                archive.extract(f"package/dist/{name}", folder, filter="data")
            except KeyError:
                raise _no_package(f"{PACKAGE} without {name}", "Update committee, or") from None
    return _found(folder / "package")


def _no_package(got: str, first: str) -> DependencyError:
    return DependencyError(
        "--web-runtime npm",
        expected="the package onnxruntime-web from npm",
        got=got,
        todo=f"{first} name a folder that has the package: --web-runtime FOLDER.",
    )
