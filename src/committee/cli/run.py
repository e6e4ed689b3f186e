"""Run all stages that a recipe enables, and show the leaderboard.

The stages train members, combine them, evaluate the results on the test split and export packages. The last
lines name the model to use, within the budget of pruning.cost_budget if the recipe has one. The file
report.html in the store shows everything that is known about the models (report.enable).

With --max-latency-ms or --max-size-mb, members are pruned within this budget, the best models of each kind
are exported and timed as files, and the last lines name the file to deploy, or the nearest one.

With --executor ray, fits are made by all machines of a Ray cluster.

With --time-limit, members for which no time is left are named and left out. A fit that is not finished
stores its state, which the next run continues. A part of the time is kept for the stages after training,
which still run, so that there is a result.

A stage goes on without whatever failed in an earlier one. What is in the store already is not made again, so
the same command resumes an interrupted run.
"""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from committee.cli._leaderboard import add_metric, print_leaderboard
from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_summary, print_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from committee.pipeline.shared.outcome import Outcome
    from committee.pipeline.shared.summary import Summary
    from committee.recipe.model import CostBudget, Recipe
    from committee.store.layout import Store

log = logging.getLogger("committee")

GROUP = "Start"
BUDGET = (
    ("--max-latency-ms", "MS", "largest median latency of the exported file for one image, in milliseconds"),
    ("--max-size-mb", "MB", "largest size of the exported file, in megabytes"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, the budget, the executor, the time limit, and how results are printed."""
    add_recipe(parser)
    add_store(parser)
    for flag, unit, purpose in BUDGET:
        parser.add_argument(flag, type=float, metavar=unit, help=purpose)
    parser.add_argument(
        "--executor",
        metavar="NAME",
        help="where fits are made: in_process, processes or ray (default: that of the recipe)",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="head of the Ray cluster (default: that of RAY_ADDRESS, or the cluster of this machine)",
    )
    parser.add_argument(
        "--time-limit",
        metavar="TIME",
        help="time for the whole run, such as 90s, 30m, 8h or 1h30m (default: none, or that of the recipe)",
    )
    add_metric(parser)
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Run all stages, and print the leaderboard."""
    from committee.pipeline.run import plan_run
    from committee.pipeline.run import run as run_stages
    from committee.report.leaderboard import check_metric

    check_metric(arguments.metric)
    arguments.overrides += [*_budget(arguments), *_executor(arguments)]
    if arguments.time_limit is not None:
        arguments.overrides.append(f"time_limit={arguments.time_limit}")
    recipe, store = recipe_of(arguments, required=True), store_of(arguments)
    if arguments.dry_run:
        return _print_plan(plan_run(recipe, store), arguments.json)
    outcome = run_stages(recipe, store)
    code = print_leaderboard(store, arguments.metric, arguments.json, arguments.wide)
    report = _write_report(recipe, store, arguments.metric)
    if report is not None and not arguments.json:
        print(f"\nReport: {report}")
    if not arguments.json and not _print_comparison(recipe, store, outcome):
        budget = recipe.pruning.cost_budget if recipe.pruning is not None else None
        _print_recommendation(store, arguments.metric, budget)
    return outcome.exit_code or code


def _budget(arguments: Namespace) -> Iterator[str]:
    """Yield what the options of the budget replace in the recipe: members are pruned, and files compared."""
    for flag, _, _ in BUDGET:
        key = flag.lstrip("-").replace("-", "_")
        limit = getattr(arguments, key)
        if limit is not None:
            yield f"pruning.cost_budget.{key}={limit}"
            yield from ("pruning.enable=true", "compare.enable=true")


def _executor(arguments: Namespace) -> Iterator[str]:
    """Yield what `--executor` and `--address` replace in the recipe."""
    if arguments.executor is not None:
        yield f"executor={arguments.executor}"
    if arguments.address is not None:
        yield f"executor={{name: ray, address: '{arguments.address}'}}"


def _print_comparison(recipe: Recipe, store: Store, outcome: Outcome) -> bool:
    """Print the comparison of files as the last lines, if this run made one; return whether it did."""
    from committee.pipeline.stages.base import STAGES

    stage = STAGES.make("compare")
    made = stage.is_wanted(recipe) and outcome.done and stage.key not in outcome.failed
    if not made:
        return False
    print()
    print_summary(stage.report(outcome, store))
    return True


def _write_report(recipe: Recipe, store: Store, metric: str | None) -> Path | None:
    """Write the report of the store, unless the recipe disables it; a failure does not fail the run."""
    from committee.errors import CommitteeError
    from committee.report.page import FILE, write_report

    if not recipe.report.enable:
        return None
    budget = recipe.pruning.cost_budget if recipe.pruning is not None else None
    try:
        return write_report(store, store.root / FILE, metric, budget)
    except CommitteeError as error:
        log.warning("the report is not written: %s", error)
        return None


def _print_plan(summary: Summary, as_json: bool) -> int:
    if as_json:
        print_json(summary.facts)
    else:
        print_summary(summary)
    return 0


def _print_recommendation(store: Store, metric: str | None, budget: CostBudget | None) -> None:
    """Print files and commands and, as the last lines, which model to use and why."""
    from committee.report.recommendation import recommend

    found = recommend(store, metric, budget)
    if found is None:
        return
    if found.name is not None:
        _print_files(store, found.name)
    print_text(f"\n{found.text}")


def _print_files(store: Store, name: str) -> None:
    """Print the exported files of a model, and the commands to try with it."""
    from committee.images.record import load_record
    from committee.pipeline.shared.package import single_files
    from committee.predictions.target_types import CLASSES

    record = load_record(store)
    answers = (CLASSES if record is None else record.kind).answers
    exported = single_files(store.deploy(name))
    files = [f"{file}: {name} as one file, from images to {answers}" for file in exported]
    files += [f"{store.catalog}: the catalog of the store", f"{store.root / 'metrics'}: all metrics"]
    print("\nFiles:", *files, sep="\n  ")
    commands = [
        f"committee predict {exported[0] if exported else name} IMAGE... --store {store}",
        f"committee leaderboard --model-name {name} --store {store}",
        f"committee predictions --csv FILE --store {store}",
    ]
    if not exported:
        commands.insert(1, f"committee export --model-name {name} --store {store}")
    print("\nTry next:", *commands, sep="\n  ")
