"""Fit ensembles on stored predictions, and score them by cross-fitting."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from committee.base.devices import resolve as resolve_device
from committee.base.progress import track
from committee.combiners import base as combiners
from committee.combiners._calibrator import Calibrator
from committee.combiners.base import Combiner
from committee.pipeline.discover import (
    MEMBERS,
    Catalog,
    discover,
    look_through,
    require_store,
    set_aside,
)
from committee.pipeline.shared.choose import (
    Method,
    choose_deployed,
    choose_members,
    combiner_of,
    full_name,
    trusted_backbones,
)
from committee.pipeline.shared.costs import Costs
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import RECORD, member_source
from committee.pipeline.shared.sets import calibration_rows, table
from committee.pipeline.shared.splits import fitting_rows, has_split, is_enough, split_rows, unseen
from committee.pipeline.shared.summary import Summary, Table
from committee.predictions.table import Predictions
from committee.recipe.model import Recipe
from committee.scoring.calibrations import calibrated, calibration_change
from committee.scoring.divergence import disagreement
from committee.scoring.leave_one_out import contributions
from committee.scoring.scores import Scores, score_all
from committee.solvers.cross_fit import allows_negative_weights, redraw_folds, splits
from committee.store.commit import commit, write_json
from committee.store.layout import Store
from committee.store.manifest import digest

log = logging.getLogger(__name__)

APPROXIMATE = "fitted on out-of-fold rows: an approximation for the networks that speak"
EXACT = "fitted on rows kept apart, on the networks that speak"


@dataclass(frozen=True, eq=False)
class Material:
    """What all ensembles of one build learn from.

    Attributes
    ----------
    store : Store
    predictions : Predictions
        Of the candidates: rows that none of them has seen.
    rows : str
        What they are: `oof` or `val`.
    voices : mapping of str to str
        Which networks of each candidate speak: `refit` or `folds`.
    apart : Predictions or None
        Rows of the `val` split, by those networks, where combiners learn from other rows.
    calibrate : str
        `pooled`, `members` or `none`.
    seed : int
    clock : Costs
        Measures what members cost.
    """

    store: Store
    predictions: Predictions
    rows: str
    deployed: Mapping[str, str]
    apart: Predictions | None
    calibrate: str
    seed: int
    clock: Costs

    @cached_property
    def disagreement(self) -> list[dict[str, Any]]:
        """The rows on which members disagree most: the same for all methods."""
        return disagreement(self.predictions)

    @cached_property
    def sources(self) -> dict[str, str]:
        """One digest a candidate of what made its networks."""
        return {name: member_source(self.store, name) for name in self.predictions.members}

    @cached_property
    def costs(self) -> dict[str, dict[str, float]]:
        """What each candidate costs: `latency_ms`, median of one image a call, and `size_mb`."""
        measured = {name: self.clock.of({name: inference}) for name, inference in self.deployed.items()}
        return {
            name: {"latency_ms": round(cost["latency_ms"]["median"], 3), "size_mb": cost["size_mb"]}
            for name, cost in measured.items()
        }


def build_all(methods: Sequence[Method], material: Material, outcome: Outcome) -> None:
    """Build and score an ensemble for each method; one that fails is named in the outcome."""
    for method in track(methods, what="ensembles", name=full_name):
        name = full_name(method)
        with outcome.attempt(name):
            build_ensemble(name, method, material)


def planned_fits(methods: Sequence[Method], material: Material) -> dict[str, int]:
    """Return how many fits each ensemble would take.

    A method that learns is fitted on all rows but those of each fold, and once on all; another one on none.
    """
    rows = material.predictions
    folds = redraw_folds(rows, material.seed) if rows.folds is None else rows.folds
    rules = {
        full_name(method): calibrated(combiner_of(method), material.calibrate, material.seed)
        for method in methods
    }
    return {
        name: 1 + len(splits(rows, folds, within_folds=allows_negative_weights(rule))) if rule.learns else 0
        for name, rule in rules.items()
    }


def plan_of(methods: Sequence[Method], recipe: Recipe, store: Store) -> Summary:
    """Return what building an ensemble for each method would take."""
    material = gather(recipe, store, look_through(store))
    members, fits = list(material.predictions.members), planned_fits(methods, material)
    facts = {"members": members, "rows": material.rows, "n": len(material.predictions), "ensembles": fits}
    where = f"On {facts['n']} {material.rows} rows of {', '.join(members)}; networks are not run."
    return Summary(
        facts, [where, Table("Ensembles that would be built", ["ensemble", "fits"], list(fits.items()))]
    )


def build(methods: Sequence[Method], recipe: Recipe, store: Store) -> Outcome:
    """Build and score an ensemble for each method, on the members of the store that the recipe names.

    Returns
    -------
    Outcome
        The full names of the ensembles made, and the methods that failed with their reasons.

    Raises
    ------
    StoreError
        There are no members, or some have no predictions to fit on.
    """
    require_store(store)
    outcome = Outcome()
    with store.hold():
        catalog = discover(store)
        set_aside(catalog, outcome, needed=MEMBERS, renewed=[full_name(method) for method in methods])
        material = gather(recipe, store, catalog)
        _keep(material)
        build_all(methods, material, outcome)
    return outcome


def gather(recipe: Recipe, store: Store, catalog: Catalog, members: Sequence[str] = ()) -> Material:
    """Return what ensembles learn from: predictions of the members that a recipe means, or of those named.

    Raises
    ------
    StoreError
        There are no members, or some have no predictions to learn from.
    """
    members = members or choose_members(recipe, catalog["members"], store)
    deployed = choose_deployed(recipe, catalog["members"], members)
    predictions, rows = fitting_rows(store, members, deployed)
    apart = None
    if rows == "oof" and has_split(store, members, "val", deployed):
        apart = unseen(split_rows(store, members, "val", deployed))
    return Material(
        store,
        predictions,
        rows,
        deployed,
        apart=apart if apart is not None and is_enough(apart) else None,
        calibrate=recipe.runs.score_ensemble.calibrate,
        seed=recipe.seed,
        clock=Costs(store, 1, resolve_device(recipe.device), trusted_backbones(recipe)),
    )


def _keep(material: Material) -> None:
    """Store the joined predictions, for `committee combine` and for people's own tools."""
    with commit(
        material.store.oof_predictions(),
        kind="predictions",
        fingerprint=digest([material.sources, material.rows]),
        rows=material.rows,
        members=list(material.predictions.members),
    ) as folder:
        material.predictions.save(folder)


def build_ensemble(name: str, method: Method, material: Material) -> None:
    """Fit, score and store one ensemble: the members that its rule hears, and that rule for them.

    The scores are those of the whole method, cross-fitted: where it selects members, each fold's rows are
    combined by what was selected on the others.
    """
    plain = combiner_of(priced(method, material))
    rules = {"calibrated": calibrated(plain, material.calibrate, material.seed)}
    if material.calibrate != "none":
        rules["plain"] = plain
    found = score_all(rules, material.predictions, seed=material.seed)
    fitted, scores = found["calibrated"]
    sets = _settle(fitted, scores, material)
    shipped = fitted.restrict_to_used()
    members = list(shipped.member_names)
    spec = {"combiner": rules["calibrated"].key, **rules["calibrated"].options()}
    record = {
        "name": name,
        "method": plain.key,
        "members": members,
        "inference": {member: material.deployed[member] for member in members},
        "calibrate": material.calibrate,
        "rows": material.rows,
        "n": len(material.predictions),
        "class_names": list(material.predictions.class_names),
        "sources": {member: material.sources[member] for member in members},
        "spec": spec,
        "candidates": dict(material.deployed),
        "calibration": _calibration(found["plain"][1], scores, material) if "plain" in found else None,
        "weights": fitted.member_weights(),
        "notes": fitted.notes(),
        "scores": scores.to_json(),
        "sets": sets,
        "contributions": _contributions(rules["calibrated"], material),
        "disagreement": material.disagreement,
    }
    fingerprint = digest([material.sources, spec, material.seed, material.rows])
    with commit(
        material.store.ensemble(name),
        kind="ensemble",
        fingerprint=fingerprint,
        method=plain.key,
        members=members,
        rows=material.rows,
    ) as folder:
        combiners.save(shipped, folder)
        write_json(folder / RECORD, record)
    log.debug("%s: log-loss %.4f cross-fitted", name, scores.cross_fitted["log_loss"].value)


def priced(method: Method, material: Material) -> Method:
    """Return a method with measured costs, where a rule in it takes them and nobody gave them."""
    # The last rule of a composite asks its inputs, not members: it has no measured costs.
    inner = {
        key: value if key in ("combiner", "name", "final") else _priced_within(value, material)
        for key, value in method.items()
    }
    takes = "costs" in combiners.COMBINERS.options(method["combiner"])
    return {**inner, "costs": material.costs} if takes and method.get("costs") is None else inner


def _priced_within(value: Any, material: Material) -> Any:
    """Return an option's value, with costs in the rules that it holds: by name, described, or several."""
    if isinstance(value, str) and "costs" in _options_of(value):
        return priced({"combiner": value}, material)
    if not isinstance(value, Mapping):
        return value
    if "combiner" in value:
        return priced(dict(value), material)
    return {key: _priced_within(each, material) for key, each in value.items()}


def _options_of(name: str) -> Collection[str]:
    """Return the options of a combiner; none where there is none of that name."""
    return combiners.COMBINERS.options(name) if name in combiners.COMBINERS.names() else ()


def _settle(fitted: Combiner, scores: Scores, material: Material) -> dict[str, Any]:
    """Fit temperatures on rows kept apart, where there are; return the table of prediction sets."""
    calibrator = isinstance(fitted, Calibrator)
    some, others = calibration_rows(material.apart, material.seed, halve=calibrator)
    if isinstance(fitted, Calibrator) and some is not None:
        fitted.recalibrate(some)
    if others is not None:
        labels = others.require_labels("sets")
        return table(fitted.combine(others.logits), labels, rows="val", approximate=False)
    labels = material.predictions.require_labels("sets")
    return table(scores.held_out, labels, rows=material.rows, approximate=True)


def _contributions(rule: Combiner, material: Material) -> dict[str, float]:
    """Return what each member adds, where fits without each of them take seconds together; else nothing."""
    members, rows, classes = material.predictions.logits.shape
    if not rule.affordable(members, rows * members, classes):
        return {}
    return contributions(rule, material.predictions, seed=material.seed)


def _calibration(before: Scores, after: Scores, material: Material) -> dict[str, Any]:
    """Return what the temperatures changed, cross-fitted, and how far they can be relied on."""
    exact = material.rows == "val" or material.apart is not None
    note = EXACT if exact else APPROXIMATE
    return {"method": material.calibrate, "note": note, **calibration_change(before, after)}
