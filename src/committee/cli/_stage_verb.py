"""The verbs that run stages of a recipe: each is derived from the attributes of its stages."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.base.registry import Family
from committee.cli._leaderboard import add_metric, print_leaderboard
from committee.cli._options import (
    add_dry_run,
    add_json_file,
    add_recipe,
    add_store,
    method_of,
    recipe_of,
    store_of,
)
from committee.cli._output import print_failed, print_summary, put_json

if TYPE_CHECKING:
    from committee.pipeline.shared.outcome import Outcome
    from committee.pipeline.stages.base import Stage
    from committee.recipe.model import Recipe
    from committee.store.layout import Store

log = logging.getLogger("committee")

STAGES: Family[Any] = Family("committee.pipeline.stages", "stage")
OURS = ("sets", "enables", "many", "mappings")
"""What an option has beside the arguments of `ArgumentParser.add_argument`."""
TYPES = {"int": int, "float": float, "path": Path}


def stage_verbs() -> tuple[str, ...]:
    """Return the verbs that run stages."""
    return tuple({verb: None for name in STAGES.names() for verb in STAGES.constants(name)["verbs"]})


class StageVerb:
    """A verb that runs one stage or several, in place of a module of this folder.

    Parameters
    ----------
    verb : str
        Such as `build-ensemble`. Its help is the docstring of the last stage that names it first.
    """

    def __init__(self, verb: str) -> None:
        self.verb = verb
        facts = {name: STAGES.constants(name) for name in STAGES.names()}
        self.names = sorted(
            (name for name, its in facts.items() if verb in its["verbs"]),
            key=lambda name: facts[name]["order"],
        )
        self.main = [name for name in self.names if next(iter(facts[name]["verbs"])) == verb][-1]
        self.order: int = facts[self.main]["order"]
        self.options: dict[str, Mapping[str, Any]] = {}
        for name in self.names:
            self.options |= facts[name]["verbs"][verb]
        self.ranks = any(facts[name].get("shows") == "leaderboard" for name in self.names)
        self.__doc__ = _prose(facts[self.main]["doc"])

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the recipe, the store, the options of the stages, `--dry-run` and `--json`."""
        add_recipe(parser)
        add_store(parser)
        for flag, option in self.options.items():
            parser.add_argument(flag, dest=_target(flag, option), **_arguments(option))
        if self.ranks:
            add_metric(parser)
        add_dry_run(parser)
        add_json_file(parser)

    def run(self, arguments: Namespace) -> int:
        """Run the stages that the recipe or an option asks for, and print what they made."""
        from committee.pipeline.run import run_verb, stages_of

        if self.ranks:
            from committee.report.leaderboard import check_metric

            check_metric(arguments.metric)
        arguments.overrides += self._overrides(arguments)
        recipe, store = recipe_of(arguments), store_of(arguments)
        stages = stages_of(self.verb, recipe, **self._given(arguments))
        if arguments.dry_run:
            return _print_plans(stages, recipe, store, arguments.json)
        outcome = run_verb(self.verb, recipe, store, **self._given(arguments))
        if self.ranks:
            code = print_leaderboard(store, arguments.metric, arguments.json, arguments.wide)
            return code or outcome.exit_code
        main = next((stage for stage in stages if stage.key == self.main), stages[0])
        return _print(main, outcome, store, arguments.json)

    def _given(self, arguments: Namespace) -> dict[str, Any]:
        """Return the options that go to the constructors of the stages."""
        given = {}
        for flag, option in self.options.items():
            target = _target(flag, option)
            value = getattr(arguments, target)
            if "sets" not in option:
                given[target] = list(map(method_of, value)) if option.get("mappings") else value
        return given

    def _overrides(self, arguments: Namespace) -> Iterator[str]:
        """Yield what the options replace in the recipe."""
        for flag, option in self.options.items():
            value = getattr(arguments, _target(flag, option))
            if "sets" not in option or value is None or value is False or value == []:
                continue
            listed = ", ".join(value) if isinstance(value, list) else value
            several = isinstance(value, list) or option.get("many", False)
            yield f"{option['sets']}={f'[{listed}]' if several else listed}"
            if "enables" in option:
                yield f"{option['enables']}=true"


def _prose(doc: str) -> str:
    """Return a docstring up to its first section."""
    lines = doc.splitlines()
    ends = [place for place, line in enumerate(lines) if line and not line.strip("-")]
    return "\n".join(lines[: ends[0] - 1] if ends else lines).strip()


def _target(flag: str, option: Mapping[str, Any]) -> str:
    return str(option.get("dest", flag.lstrip("-").replace("-", "_")))


def _arguments(option: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `add_argument`."""
    given = {key: value for key, value in option.items() if key not in (*OURS, "dest")}
    if "type" in given:
        given["type"] = TYPES[given["type"]]
    if given.get("action") == "append":
        given.setdefault("default", [])
    return given


def _print(stage: Stage, outcome: Outcome, store: Store, as_json: bool | Path) -> int:
    summary = stage.report(outcome, store)
    if put_json({**outcome.to_json(), **summary.facts}, as_json):
        print_summary(summary)
        print_failed(outcome.failed)
        print_failed(outcome.unfinished, "unfinished")
    return outcome.exit_code


def _print_plans(stages: Sequence[Stage], recipe: Recipe, store: Store, as_json: bool | Path) -> int:
    from committee.pipeline.shared.summary import merged

    summary = merged([stage.plan(recipe, store) for stage in stages])
    if put_json(summary.facts, as_json):
        print_summary(summary)
    return 0
