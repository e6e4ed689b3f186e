"""Run the examples of docs/gallery.md, and write their times into its last column.

    python scripts/measure_examples.py              # all: about two hours on two cores
    python scripts/measure_examples.py digits nuclei

The commands of an example are those at the top of the file that the gallery links to. They run in a folder
of their own (`--out`), with the examples in it, and their output is kept there as `NAME.log`.
The time is that of the processor, of all processes together, which other work on the machine changes less
than the time of the clock; where a system has no such count, it is the latter.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery.md"
ROW = re.compile(r"^\| \[([^\]]+)\]\(\.\./(examples/[^)]+)\) \|.*\| ([^|]*) \|$", re.MULTILINE)
COMMAND = re.compile(r"^#? {3,}((?:python examples/|committee ).*?)(?: {2,}#.*)?$", re.MULTILINE)


def commands(file: Path) -> list[list[str]]:
    """Return the commands at the top of an example: those in the first comment or docstring."""
    text = file.read_text(encoding="utf-8")
    top = text.split('"""')[1] if text.startswith('"""') else re.match(r"(#.*\n)*", text)[0]  # type: ignore[index]
    return [shlex.split(line) for line in COMMAND.findall(top)]


def run(words: list[str], folder: Path, log: Path) -> None:
    """Run a command of an example with this interpreter."""
    scripts = Path(sysconfig.get_path("scripts"))
    program = [sys.executable] if words[0] == "python" else [str(scripts / words[0])]
    with log.open("a", encoding="utf-8") as file:
        print("$", *words, file=file, flush=True)
        subprocess.run([*program, *words[1:]], cwd=folder, check=True, stdout=file, stderr=file)


def measure(name: str, file: Path, out: Path) -> float:
    """Run an example in an empty folder, and return its seconds of processor time."""
    folder = out / re.sub(r"\W+", "-", name)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "examples", folder / "examples")
    log = folder.with_suffix(".log")
    log.unlink(missing_ok=True)
    before, start = os.times(), time.perf_counter()
    for words in commands(file):
        run(words, folder, log)
    after = os.times()
    used = sum(after[2:4]) - sum(before[2:4])
    clock = time.perf_counter() - start
    print(f"{name}: {used:.0f} s of processor time, {clock:.0f} s by the clock; {log}", flush=True)
    return used or clock


def words_of(seconds: float) -> str:
    """Return a time as the gallery has it."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{minutes} minutes"


def write(name: str, seconds: float) -> None:
    """Replace the time of an example in the gallery."""
    text = GALLERY.read_text(encoding="utf-8")
    for found in ROW.finditer(text):
        if found[1] == name:
            text = text[: found.start(3)] + words_of(seconds) + text[found.end(3) :]
            break
    GALLERY.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure the examples whose titles are given, or all."""
    rows = {name: ROOT / path for name, path, _ in ROW.findall(GALLERY.read_text(encoding="utf-8"))}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="TITLE", help=", ".join(rows))
    parser.add_argument("--out", type=Path, default=Path("measured"), help="folder of stores and logs")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(rows):
        parser.error(f"the gallery has no example {', '.join(sorted(unknown))}; it has {', '.join(rows)}")
    for name in arguments.names or rows:
        write(name, measure(name, rows[name], arguments.out.absolute()))


if __name__ == "__main__":
    main()
