"""`committee init` and `committee schema`."""

from __future__ import annotations

import json
from pathlib import Path

from committee.recipe.load import load_recipe


def test_init_writes_a_recipe_that_loads(cli, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    said = cli("init", path, "--set", "dataset.path=photos")
    assert said == (0, f"Wrote {path}. Run it: committee run {path}\n", "")
    assert load_recipe(path).dataset.path == "photos"


def test_init_asks_for_images_only_where_none_are_named(cli, tmp_path: Path) -> None:
    named, bare = tmp_path / "named.yaml", tmp_path / "bare.yaml"
    assert cli("init", named, "--set", "dataset.name=digits").out == (
        f"Wrote {named}. Run it: committee run {named}\n"
    )
    assert cli("init", bare).out == (
        f"Wrote {bare}. Name your images in dataset.path, then: committee run {bare}\n"
    )
    hint = "# Name your images in dataset.path"
    assert (hint in named.read_text(), hint in bare.read_text()) == (False, True)


def test_init_writes_over_nothing_unless_told(cli, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("mine")
    said = cli("init", path)
    assert (said.code, said.err) == (
        2,
        f"committee: {path}: expected a file that is not there yet, got one that is. Write over it with "
        "--force, or name another.\n",
    )
    assert path.read_text() == "mine"
    assert cli("init", path, "--force").code == 0


def test_init_refuses_what_no_recipe_takes(cli, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    said = cli("init", path, "--set", "epochs=-1")
    assert (said.code, said.err) == (
        2,
        "committee: training.epochs: expected a number not less than 1, got -1. (--set epochs=-1)\n",
    )
    assert not path.exists()


def test_schema_is_json(cli) -> None:
    said = cli("schema")
    assert said.code == 0
    assert json.loads(said.out)["title"] == "Recipe"
