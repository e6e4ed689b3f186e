"""Hooks of the documentation site (`make docs`): navigation, links to files of the project, API pages.

The pages are read on GitHub as well, so they are plain Markdown. The navigation is that of docs/index.md.
Links to files outside of docs/ lead to copies in the site. The pages of the API are made from the docstrings
of the names that the packages offer.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(((?:\.\./)+[^)#\s]+)")
FILE = re.compile(r"^(```\w+) file=(\S+)$", re.MULTILINE)
ENTRY = re.compile(r"^- \[([^\]]+)\]\(([^)#]+\.md)\)", re.MULTILINE)
WIDE = ("index.md", "compared.md")
"""Pages without the list of pages at their side: one is such a list, the other has a wide table."""
PACKAGES = (
    "committee",
    "committee.combiners",
    "committee.metrics",
    "committee.models",
    "committee.pruning",
    "committee.scoring",
    "committee.exporters",
    "committee.engines",
    "committee.trackers",
)
"""The packages whose names are the API."""


def navigation() -> list[dict[str, Any]]:
    """Return the navigation: the sections of docs/index.md and their pages, and the API."""
    _, *parts = re.split(r"^## ", (DOCS / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: list[dict[str, Any]] = [{"Home": "index.md"}]
    for part in parts:
        pages = [{_plain(title): page} for title, page in ENTRY.findall(part)]
        if pages:
            found.append({part.partition("\n")[0]: pages})
    api = [{package: _page(package)} for package in PACKAGES]
    return [*found, {"API": api}]


def _plain(title: str) -> str:
    return re.sub(r"[`*]", "", title)


def _page(package: str) -> str:
    return f"api/{package}.md"


def api() -> dict[str, list[str]]:
    """Return the places of the public names of each package; each name is in one package alone."""
    found: dict[str, list[str]] = {package: [] for package in PACKAGES}
    places: dict[str, str] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            home = getattr(getattr(module, name), "__module__", "")
            if home.startswith("committee."):
                place = f"{home}.{name}"
                at_home = max((each for each in PACKAGES if home.startswith(each)), key=len)
                places[place] = at_home if name in importlib.import_module(at_home).__all__ else package
    for place, package in sorted(places.items(), key=lambda each: each[0].rpartition(".")[2]):
        found[package].append(place)
    return found


def api_page(package: str, names: list[str]) -> str:
    """Return the page of a package: its docstring, and a directive for each name that it offers."""
    text = (importlib.import_module(package).__doc__ or "").strip()
    return "\n".join([f"# {package}", "", text, "", *(f"::: {name}\n" for name in names)])


def outside(page: str, text: str) -> Iterator[tuple[str, Path]]:
    """Yield the links of a page that lead out of docs/, each with its file."""
    for target in dict.fromkeys(LINK.findall(text)):
        path = (DOCS / page).parent.joinpath(target).resolve()
        if not path.is_relative_to(DOCS) and path.is_file():
            yield target, path


def on_config(config: Any) -> Any:
    """Set the navigation."""
    config["nav"] = navigation()
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the API, and the files of the project that pages refer to."""
    for package, names in api().items():
        files.append(File.generated(config, _page(package), content=api_page(package, names)))
    for file in [each for each in files.documentation_pages() if each.generated_by is None]:
        text = (DOCS / file.src_uri).read_text(encoding="utf-8")
        for _, path in outside(file.src_uri, text):
            place = f"source/{path.relative_to(ROOT).as_posix()}.txt"
            if files.get_file_from_path(place) is None:
                files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to files of the project to their copies; a block that is written to a file has its name."""
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["navigation"]
    markdown = FILE.sub(r'\1 title="\2"', markdown)
    up = "../" * page.file.src_uri.count("/")
    for target, path in outside(page.file.src_uri, markdown):
        markdown = markdown.replace(f"]({target}", f"]({up}source/{path.relative_to(ROOT).as_posix()}.txt")
    return markdown
