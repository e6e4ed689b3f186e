"""Build ensembles of the members in a store, and score them by cross-fitting.

The methods are the recipe's, or those named with --method. All is learnt from stored out-of-fold
predictions (or, where members were trained without folds, from the val split): no network runs.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_failed, print_json, print_table

if TYPE_CHECKING:
    from committee.pipeline.outcome import Outcome
    from committee.store.layout import Store


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--method`, `--dry-run` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME",
        help="build this one, not the recipe's; may be repeated",
    )
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Build, and print each ensemble with its cross-fitted scores and gain."""
    from committee.cli._stages import say_unbuilt
    from committee.pipeline.build import build, plan_build

    recipe, store = recipe_of(arguments), store_of(arguments)
    say_unbuilt(recipe)
    if arguments.dry_run:
        return _print_plan(plan_build(recipe, store, arguments.method), arguments.json)
    return _print_built(build(recipe, store, arguments.method), store, arguments.json)


def _print_built(outcome: Outcome, store: Store, as_json: bool) -> int:
    from committee.pipeline.records import ensemble_facts

    records = [ensemble_facts(store, name) for name in outcome.done]
    if as_json:
        print_json({**outcome.to_json(), "ensembles": records})
        return outcome.exit_code
    rows = [[record["name"], *_row(record["scores"])] for record in records]
    columns = ["name", "log_loss cross-fitted", "accuracy cross-fitted", "gain over best single"]
    print_table("Ensembles", columns, rows)
    print_failed(outcome.failed)
    return outcome.exit_code


def _row(scores: dict[str, Any]) -> list[str]:
    from committee.report.leaderboard import interval

    cross_fitted = scores["cross_fitted"]
    return [
        interval(cross_fitted["log_loss"]),
        interval(cross_fitted["accuracy"]),
        scores["gain"]["log_loss"]["text"],
    ]


def _print_plan(plan: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(plan)
        return 0
    print(f"On {plan['n']} {plan['rows']} rows of {', '.join(plan['members'])}; no network would run.")
    print_table("What would be built", ["ensemble", "fits"], list(plan["ensembles"].items()))
    return 0
