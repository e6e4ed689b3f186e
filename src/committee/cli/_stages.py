"""What the verbs that run stages say before and after."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from committee.cli._output import count, duration, print_failed, print_json, print_table, two_digits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from committee.pipeline.shared.outcome import Outcome
    from committee.recipe.model import Recipe
    from committee.store.layout import Store

log = logging.getLogger("committee")


def say_unbuilt(recipe: Recipe) -> None:
    """Name what the recipe enables and this version does not have; the rest runs."""
    for name in recipe.unbuilt():
        log.warning("%s: not built in this version; the rest runs", name)


def print_outcome(outcome: Outcome, as_json: bool, what_next: str) -> int:
    """Print what a stage made and what failed; return the exit code."""
    if as_json:
        print_json(outcome.to_json())
        return outcome.exit_code
    rows = [[name, "done"] for name in dict.fromkeys(outcome.done) if name not in outcome.failed]
    rows += [[name, "failed"] for name in outcome.failed]
    rows += [[name, "not built in this version"] for name in outcome.unbuilt]
    print_table("", ["name", "result"], rows)
    print_failed(outcome.failed)
    if outcome.done:
        print(what_next)
    return outcome.exit_code


def print_estimate(
    recipe: Recipe, store: Store, as_json: bool, then: Mapping[str, Sequence[str]] | None = None
) -> int:
    """Print what would run, how many fits, hours and disk, and the names of what would follow."""
    from committee.pipeline.shared.estimate import estimate
    from committee.store.disk import free_bytes, in_words

    found = {**estimate(recipe, store), "unbuilt": recipe.unbuilt(), **(then or {})}
    if as_json:
        print_json(found)
        return 0
    keys = ("member", "backbone", "fits", "stored")
    rows = [
        [*(cost[key] for key in keys), two_digits(cost["hours"]), cost["disk_mb"]]
        for cost in found["members"]
        if cost["hours"] is not None
    ]
    columns = ["member", "backbone", "fits", "of them stored", "hours", "disk MB"]
    print_table("What would be trained", columns, rows)
    print_failed({cost["member"]: cost["reason"] for cost in found["members"] if cost["hours"] is None})
    print(f"In total {found['fits']} fits, about {duration(found['hours'])} and {found['disk_mb']:.0f} MB.")
    if found["disk_mb"] * 1e6 > (free := free_bytes(store.root)):
        log.warning("%s: its disk has %s free", store.root, in_words(free))
    for what, names in (then or {}).items():
        print(f"Then {what}: {', '.join(names) or 'none'}.")
    return 0


def print_ensembles(outcome: Outcome, store: Store, as_json: bool) -> int:
    """Print what a stage built, ensembles with cross-fitted scores and gains; return the exit code."""
    from committee.pipeline.shared.records import ensemble_facts, member_facts, provenance

    ensembles = store.ensembles()
    records = [ensemble_facts(store, name) for name in outcome.done if name in ensembles]
    made = {name: provenance(store, name) for name in outcome.done if name not in ensembles}
    if as_json:
        print_json({**outcome.to_json(), "ensembles": records, "members": made})
        return outcome.exit_code
    if made:
        members = [
            [name, ", ".join(member_facts(store, name).get("of", [])), about.get("summary", "")]
            for name, about in made.items()
        ]
        print_table("Members", ["name", "of", "what"], members)
    if records:
        rows = [[record["name"], len(record["members"]), *_scores(record["scores"])] for record in records]
        columns = [
            "name",
            "members",
            "log_loss cross-fitted",
            "accuracy cross-fitted",
            "gain over best single",
        ]
        print_table("Ensembles", columns, rows)
    print_failed(outcome.failed)
    return outcome.exit_code


def _scores(scores: Mapping[str, Any]) -> list[str]:
    from committee.report.leaderboard import interval

    cross_fitted = scores["cross_fitted"]
    return [
        interval(cross_fitted["log_loss"]),
        interval(cross_fitted["accuracy"]),
        scores["gain"]["log_loss"]["text"],
    ]


def print_fits(plan: Mapping[str, Any], as_json: bool) -> int:
    """Print how many fits each ensemble would take; return 0."""
    if as_json:
        print_json(plan)
        return 0
    print(f"On {plan['n']} {plan['rows']} rows of {', '.join(plan['members'])}; no network would run.")
    print_table("What would be built", ["ensemble", "fits"], list(plan["ensembles"].items()))
    if plan.get("soups"):
        soups = [[name, ", ".join(members)] for name, members in plan["soups"].items()]
        print_table("Weights that would be averaged", ["soup", "of"], soups)
    return 0


def print_leaderboard(store: Store, metric: str, as_json: bool) -> int:
    """Print all evaluated models, best cross-fitted first; return 0, or 3 where a member failed."""
    from committee.report.leaderboard import leaderboard, table

    reports = leaderboard(store, metric)
    failed = {report["name"]: report["failed"] for report in reports if "failed" in report}
    code = 3 if failed else 0
    if as_json:
        print_json(reports)
        return code
    columns, rows = table([report for report in reports if report["name"] not in failed], metric)
    print_table(f"Leaderboard of {store.root}", columns, rows)
    print_failed(failed)
    if any(report.get("rows") == "val" for report in reports):
        print("* on the val split: these members have no out-of-fold predictions.")
    if any(report.get("seen") for report in reports):
        print("+ flattering: an adopted member may have been trained on some of these images.")
    print_data(next((report["data"] for report in reports if "data" in report), {}))
    return code


def print_data(data: Mapping[str, int]) -> None:
    """Say what the data set lacks and repeats, where it does."""
    if data.get("quarantined"):
        print(f"{count(data['quarantined'], 'image')} could not be used: see quarantine.csv in the store.")
    if data.get("copies"):
        print(
            f"{count(data['copies'], 'image')} of the data set repeat another: see copies.csv in the store."
        )
