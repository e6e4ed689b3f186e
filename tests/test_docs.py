"""Every snippet of the README and of docs/ runs: `python` blocks, and `$ committee ...` in `console` blocks.

A page is one session: its blocks run in order, in one empty folder and one namespace. A fenced block whose
info string ends in `file=NAME` is written to that file first. A line followed by `# exit N` must end with N.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from committee.cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)")


def run_console(text: str) -> None:
    for line in text.replace("\\\n", " ").splitlines():
        if not line.startswith("$ committee "):
            continue
        command, _, expected = line[2:].partition("  # exit ")
        code = main(shlex.split(command)[1:])
        assert code == int(expected or 0), f"{line} ended with exit code {code}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for language, info, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(text, f"{page.name}:{language}", "exec"), namespace)
        elif language == "console":
            run_console(text)
        elif "file=" in info:
            Path(info.split("file=")[1].strip()).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{page.name}: links to files that are not there: {missing}"
