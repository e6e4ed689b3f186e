"""Every snippet of the README and of docs/ runs: `python` blocks, and `$ committee ...` in `console` blocks.

A page is one session: its blocks run in order, in one empty folder and one namespace. A fenced block whose
info string ends in `file=NAME` is written to that file first. A line followed by `# exit N` must end with N.
Pages that begin with the same files and commands share them: they run once, and each page goes on in a copy
of the folder that they leave. Data sets of digits have a quarter of their rows here: no test reads the
figures of a page.
"""

from __future__ import annotations

import hashlib
import math
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sklearn.datasets

from committee.cli.main import main
from committee.pipeline.shared import build
from committee.scoring.leave_one_out import contribution_seconds
from committee.solvers import cross_fit

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)")
EACH = {"README.md": 1, "combine-predictions.md": 2}
"""Which scans of digits there are in pages that name a number of rows; in others it is every fourth."""
DIGITS = sklearn.datasets.load_digits()


class Step(NamedTuple):
    """A file to write, a command, or a block of Python: `kind` is "file", "command" or "python"."""

    kind: str
    text: str
    file: str = ""


def steps_of(page: Path) -> Iterator[Step]:
    for language, info, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            yield Step("python", text)
        elif language == "console":
            lines = text.replace("\\\n", " ").splitlines()
            yield from (Step("command", line[2:]) for line in lines if line.startswith("$ committee "))
        elif "file=" in info:
            yield Step("file", text, info.split("file=")[1].strip())


def beginnings(steps: list[Step]) -> dict[str, int]:
    """Return a key of the steps up to each command before the first Python block, and their number."""
    found, key = {}, hashlib.sha256()
    for number, step in enumerate(steps, 1):
        if step.kind == "python":
            break
        key.update(repr(step).encode())
        if step.kind == "command":
            found[key.hexdigest()[:16]] = number
    return found


STEPS = {page: list(steps_of(page)) for page in PAGES}
USES = Counter(key for steps in STEPS.values() for key in beginnings(steps))


def run(steps: Iterable[Step], name: str) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for step in steps:
        if step.kind == "python":
            exec(compile(step.text, f"{name}:python", "exec"), namespace)
        elif step.kind == "file":
            Path(step.file).write_text(step.text, encoding="utf-8")
        else:
            command, _, expected = step.text.partition("  # exit ")
            code = main(shlex.split(command)[1:])
            assert code == int(expected or 0), f"$ {step.text} ended with exit code {code}"


def part_of_digits(each: int, *, return_X_y: bool = False) -> Any:
    """Return every second scan, every third, ..., in place of `sklearn.datasets.load_digits`."""
    part = type(DIGITS)(**{name: DIGITS[name][::each] for name in ("data", "images", "target")})
    return (part.data, part.target) if return_X_y else part


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_snippets_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, once: Callable[..., Path]
) -> None:
    steps, before, done = STEPS[page], None, 0
    digits = partial(part_of_digits, EACH.get(page.name, 4))
    monkeypatch.setattr(sklearn.datasets, "load_digits", digits)
    # Contributions of members to a method are left out if they take one second, not thirty.
    monkeypatch.setattr(build, "contribution_seconds", lambda *given: 30 * contribution_seconds(*given))
    # Networks of one epoch on few rows are like those that know nothing, whose stacks are fitted five times
    # as often, to be scored within folds.
    monkeypatch.setattr(cross_fit, "ENOUGH_EVIDENCE", -math.inf)

    def go_on(folder: Path, end: int | None) -> None:
        if before is not None:
            shutil.copytree(before, folder, dirs_exist_ok=True)
        monkeypatch.chdir(folder)
        run(steps[done:end], page.name)

    for key, end in beginnings(steps).items():
        if USES[key] > 1:
            before, done = once(f"docs-{key}", lambda folder, end=end: go_on(folder, end)), end
    go_on(tmp_path, None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{page.name}: links to files that are not there: {missing}"
