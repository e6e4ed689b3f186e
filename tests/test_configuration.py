"""The shipped configuration `configs/ensemble_config.yaml` works with every verb that reads a recipe."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from committee.cli.main import verb_of, verbs
from committee.store.layout import Store

CONFIG = Path(__file__).parents[1] / "configs" / "ensemble_config.yaml"


def plans_a_recipe(verb: str) -> bool:
    """Whether a verb has a dry run of a recipe, and requires no argument of its own."""
    parser = ArgumentParser()
    verb_of(verb).add_arguments(parser)
    options = {option for action in parser._actions for option in action.option_strings}
    return {"--config", "--dry-run"} <= options and not any(action.required for action in parser._actions)


# `import` requires one of a folder and files, which its parser does not know.
PLANNED = [verb for verb in verbs() if plans_a_recipe(verb) and verb != "import"]


@pytest.fixture
def on_small_networks(tiny_settings: list[str]) -> list[str]:
    """The arguments that replace the fifteen backbones by two that a test can afford."""
    settings = [*tiny_settings, "runs.moe.num_experts=2", "pruning.target_size=2"]
    return [part for setting in settings for part in ("--set", setting)]


@pytest.mark.parametrize("verb", PLANNED)
def test_dry_run_plans_the_verb(
    verb: str, cli: Callable[..., Any], trained: Store, on_small_networks: list[str]
) -> None:
    given = ["--config", CONFIG, "--store", trained.root, *on_small_networks]
    if verb in ("meta-fuse", "distill"):
        assert cli("build-ensemble", *given, "--method", "soft_voting").code == 0
    if verb == "distill":
        given += ["--teacher", "soft_voting"]
    if verb == "tta":
        given += ["--views", "hflip"]
    found = cli(verb, *given, "--dry-run")
    assert found.code in (0, 3), found.err
    assert found.out


@pytest.mark.parametrize("verb", ["discover", "predictions"])
def test_verbs_that_read_the_store_accept_it(
    verb: str, cli: Callable[..., Any], trained: Store, on_small_networks: list[str], tmp_path: Path
) -> None:
    more = ["--csv", tmp_path / "oof.csv"] if verb == "predictions" else []
    found = cli(verb, "--config", CONFIG, "--store", trained.root, *on_small_networks, *more)
    assert found.code == 0, found.err
