"""Arguments that verbs share."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from committee.cli._options import (
    add_dry_run,
    add_json,
    add_recipe,
    add_store,
    check_recipe,
    recipe_of,
    store_of,
)
from committee.errors import RecipeError, UsageError


def parsed(*words: str) -> Namespace:
    parser = ArgumentParser()
    for add in (add_recipe, add_store, add_json, add_dry_run):
        add(parser)
    return parser.parse_args(words)


def test_a_recipe_is_named_in_either_way_and_overridden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "r.yaml"
    path.write_text("seed: 3\nepochs: 4", encoding="utf-8")
    for words in ((str(path),), ("--config", str(path)), (str(path), "--config", str(path))):
        recipe = recipe_of(parsed(*words, "--set", "epochs=5", "--set", "folds=3"))
        assert (recipe.seed, recipe.training.epochs, recipe.training.folds) == (3, 5, 3)
    assert recipe_of(parsed()).seed == 0


def test_two_recipes_are_one_too_many() -> None:
    with pytest.raises(UsageError) as caught:
        recipe_of(parsed("a.yaml", "--config", "b.yaml"))
    assert str(caught.value) == "--config: expected one recipe, got 'a.yaml' and 'b.yaml'. Leave one out."


def test_the_recipe_of_the_current_folder_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", logger="committee")
    (tmp_path / "other.yaml").write_text("seed: 5", encoding="utf-8")
    assert recipe_of(parsed()).seed == 0 and caplog.messages == []
    (tmp_path / "recipe.yaml").write_text("seed: 3", encoding="utf-8")
    assert recipe_of(parsed("--set", "folds=3")).seed == 3
    assert caplog.messages == ["Recipe: recipe.yaml"]
    assert recipe_of(parsed("other.yaml")).seed == 5
    assert caplog.messages == ["Recipe: recipe.yaml"]


def test_a_required_recipe_has_to_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        recipe_of(parsed(), required=True)
    assert str(caught.value) == (
        "recipe.yaml: the file does not exist. Write it with: committee init IMAGES, or name another recipe."
    )
    assert recipe_of(parsed("--set", "seed=3"), required=True).seed == 3


def test_a_verb_that_needs_no_recipe_checks_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text("sed: 3", encoding="utf-8")
    check_recipe(parsed())
    for words in (("recipe.yaml",), ("--set", "sed=3")):
        with pytest.raises(RecipeError, match="Did you mean 'seed'"):
            check_recipe(parsed(*words))


def test_the_store_is_named_by_option_environment_recipe_or_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMMITTEE_STORE", raising=False)
    assert store_of(parsed()).root == Path("store")
    # A recipe of an earlier version names its store even where another key is not valid any more.
    (tmp_path / "recipe.yaml").write_text("store: of_recipe\nsed: 3", encoding="utf-8")
    assert store_of(parsed()).root == Path("of_recipe")
    assert store_of(parsed("--set", "store=of_set")).root == Path("of_set")
    for text, got in (("[a]", "a list"), ("''", "''")):
        (tmp_path / "other.yaml").write_text(f"store: {text}", encoding="utf-8")
        with pytest.raises(RecipeError, match=rf"^store: expected a folder, or an address .*, got {got}"):
            store_of(parsed("other.yaml"))
    monkeypatch.setenv("COMMITTEE_STORE", "elsewhere")
    assert store_of(parsed()).root == Path("elsewhere")
    assert store_of(parsed("--store", "here")).root == Path("here")


def test_switches_are_off_by_default() -> None:
    assert (parsed().json, parsed().dry_run) == (False, False)
    assert (parsed("--json").json, parsed("--dry-run").dry_run) == (True, True)
