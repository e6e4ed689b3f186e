"""Prune: choose the members worth keeping, within budgets of latency and size.

Each method gives a path, a subset of each size. Its scores are cross-fitted: those of subsets chosen
without the rows that they predict. The choice becomes the ensemble pruned_METHOD, with the members kept and
no others. What members cost is measured: the median time of one image a call, and the size of the weights.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_failed, print_json, print_table

if TYPE_CHECKING:
    from committee.pipeline.shared.outcome import Outcome
    from committee.store.layout import Store


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, methods, target and budgets."""
    add_recipe(parser)
    add_store(parser)
    add = parser.add_argument
    add("--method", action="append", default=[], metavar="NAME", help="not the recipe's; may be repeated")
    add("--target-size", type=int, metavar="K", help="members to keep (as many as score best)")
    add("--max-latency-ms", type=float, metavar="X", help="most milliseconds for one image")
    add("--max-size-mb", type=float, metavar="Y", help="most megabytes of weights")
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Prune; print each path, each choice, and the front."""
    from committee.cli._stages import say_unbuilt
    from committee.pipeline.stages.pruning import plan_prune, prune

    arguments.overrides += _overrides(arguments)
    recipe, store = recipe_of(arguments), store_of(arguments)
    if arguments.dry_run:
        return _print_plan(plan_prune(recipe, store), arguments.json)
    say_unbuilt(recipe)
    return _print(prune(recipe, store), store, arguments.json)


def _overrides(arguments: Namespace) -> list[str]:
    """Return what the options replace in the recipe."""
    given = {
        "target_size": arguments.target_size,
        "cost_budget.max_latency_ms": arguments.max_latency_ms,
        "cost_budget.max_size_mb": arguments.max_size_mb,
    }
    replaced = [f"pruning.{key}={value}" for key, value in given.items() if value is not None]
    if arguments.method:
        replaced += [f"pruning.methods=[{', '.join(arguments.method)}]", "pruning.enable=true"]
    return replaced


def _print(outcome: Outcome, store: Store, as_json: bool) -> int:
    from committee.pipeline.shared.records import ensemble_facts
    from committee.pipeline.stages.pruning import read_front

    records = [ensemble_facts(store, name) for name in outcome.done]
    metric = records[0]["notes"]["metric"] if records else "log_loss"
    front = read_front(store, outcome.done, metric)
    if as_json:
        print_json({**outcome.to_json(), "ensembles": records, "front": front})
        return outcome.exit_code
    for record in records:
        _print_path(record)
    if front:
        columns = ["members", f"{metric} of the fit", "latency ms", "size MB", ""]
        rows = [[len(each["members"]), *_cells(each, "fit"), _some(each["members"])] for each in front]
        print_table("Pareto front of all subsets looked at", columns, rows)
        print(f"\n{store.pruning_report()}: costs and front")
    print_failed(outcome.failed)
    return outcome.exit_code


def _print_path(record: dict[str, Any]) -> None:
    notes, scores = record["notes"], record["scores"]
    metric, chosen = notes["metric"], notes["chosen"]
    columns = [
        "size",
        f"{metric} cross-fitted",
        f"{metric} of the fit",
        "latency ms",
        "size MB",
        "",
        "members",
    ]
    rows = [
        [each["size"], each[metric], *_cells(each, "fit"), _mark(each, chosen), _some(each["members"])]
        for each in notes["path"]
    ]
    print_table(record["name"], columns, rows)
    found, gain = scores["cross_fitted"][metric], scores["gain"][metric]
    if "instead_of" in chosen:
        print(f"instead of {chosen['instead_of']}")
    print(
        f"kept {', '.join(chosen['members'])}: {metric} {found['value']:.4f} "
        f"[{found['low']:.4f}, {found['high']:.4f}] with the choice cross-fitted, "
        f"gain over the best single member: {gain['text']}\n"
    )


def _cells(entry: dict[str, Any], key: str) -> list[object]:
    return [entry[key], entry.get("latency_ms"), entry.get("size_mb")]


def _mark(entry: dict[str, Any], chosen: dict[str, Any]) -> str:
    if entry["members"] == chosen["members"]:
        return "kept"
    return "" if entry["meets"] else "over budget"


def _some(members: list[str]) -> str:
    more = f" and {len(members) - 4} more" if len(members) > 4 else ""
    return ", ".join(members[:4]) + more


def _print_plan(plan: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(plan)
        return 0
    print(
        f"{', '.join(plan['ensembles'])} would be chosen among {', '.join(plan['members'])} on {plan['n']} "
        f"{plan['rows']} rows; each network would be timed."
    )
    return 0
