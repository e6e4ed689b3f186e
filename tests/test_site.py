"""The site has every page, and links of pages to files of the project lead to copies in it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE = type("Page", (), {"file": type("File", (), {"src_uri": "gallery.md"})})


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hooks() -> Any:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    return script("docs_hooks")


def test_the_menu_lists_all_versions_and_the_newest_is_the_start(tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0", "0.10.0rc1"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "index.html").touch()
    script("build_docs").list_versions(tmp_path)
    found = json.loads((tmp_path / "versions.json").read_text(encoding="utf-8"))
    assert [(each["version"], each["aliases"]) for each in found] == [
        ("0.10.0", ["latest"]),
        ("0.10.0rc1", []),
        ("0.9.0", []),
    ]
    assert "url=0.10.0/index.html" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation_once(hooks: Any) -> None:
    sections = [section for section in hooks.navigation() if "API" not in section]
    found = [
        page
        for section in sections
        for pages in section.values()
        if isinstance(pages, list)
        for page in pages
    ]
    listed = [name for page in found for name in page.values()]
    assert sorted(["index.md", *listed]) == sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))


def test_each_public_name_has_one_place_in_the_api(hooks: Any) -> None:
    places = [place for names in hooks.api().values() for place in names]
    assert len(places) == len(set(places)) > 100
    assert "committee.combiners.weighted.Weighted" in hooks.api()["committee.combiners"]


def test_links_to_files_of_the_project_lead_to_copies(hooks: Any) -> None:
    text = hooks.on_page_markdown(
        "[a](../examples/demo/recipe.yaml) [b](benchmarks.md) [c](../nothing.md)", PAGE
    )
    assert text == "[a](source/examples/demo/recipe.yaml.txt) [b](benchmarks.md) [c](../nothing.md)"


def test_blocks_that_are_written_to_a_file_have_its_name_as_title(hooks: Any) -> None:
    text = hooks.on_page_markdown("```yaml file=recipe.yaml\na: 1\n```\n", PAGE)
    assert text == '```yaml title="recipe.yaml"\na: 1\n```\n'


def test_every_example_is_in_the_gallery() -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert not [path.name for path in (ROOT / "examples").iterdir() if f"examples/{path.name}/" not in text]
