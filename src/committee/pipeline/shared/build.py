"""Ensembles that are fitted on stored predictions, with cross-fitted scores."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from committee._version import __version__
from committee.base.devices import resolve as resolve_device
from committee.base.progress import track
from committee.base.text import duration
from committee.combiners import base as combiners
from committee.combiners.base import Combiner
from committee.combiners.shared.calibrator import Calibrator
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
)
from committee.pipeline.shared.costs import Costs
from committee.pipeline.shared.draws import write_draws
from committee.pipeline.shared.kept import (
    MADE_FROM,
    REQUEST,
    Request,
    digest_of,
    is_kept,
    warn_if_replaced,
)
from committee.pipeline.shared.network_files import has_latency_budget
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import RECORD, member_source
from committee.pipeline.shared.sets import calibration_rows, table
from committee.pipeline.shared.splits import (
    fittable,
    fitting_rows,
    has_split,
    is_enough,
    rows_in_words,
    split_rows,
    unseen,
)
from committee.pipeline.shared.summary import Summary, Table
from committee.predictions.table import Predictions
from committee.recipe.model import Recipe
from committee.scoring.calibrations import calibrated, calibration_change
from committee.scoring.divergence import disagreement
from committee.scoring.leave_one_out import contribution_seconds, contributions
from committee.scoring.scores import Scores, score
from committee.solvers.cross_fit import allows_negative_weights, redraw_folds, uncalibrated, ways_to_split
from committee.store.commit import commit, write_json
from committee.store.layout import Store
from committee.store.manifest import digest

log = logging.getLogger(__name__)

APPROXIMATE = "fitted on out-of-fold rows: an approximation for the deployed networks"
EXACT = "fitted on predictions of the val split by the deployed networks"


@dataclass(frozen=True, eq=False)
class BuildContext:
    """Predictions and settings that all ensembles of one build share.

    Attributes
    ----------
    store : Store
    predictions : Predictions
        Predictions of the candidates for rows that none of them was trained on.
    rows : str
        The kind of these rows: `oof` or `val`.
    deployed : mapping of str to str
        The deployed networks of each candidate: `refit` or `folds`.
    val : Predictions or None
        Predictions of the `val` split by the deployed networks, if combiners are fitted on other rows.
    calibrate : str
        `pooled`, `vector`, `members` or `none`.
    seed : int
    clock : Costs
        Measures the latency and size of members.
    contributions_budget : float or None
        Largest estimated time of the contributions of one ensemble, in seconds; None is no limit.
    """

    store: Store
    predictions: Predictions
    rows: str
    deployed: Mapping[str, str]
    val: Predictions | None
    calibrate: str
    seed: int
    clock: Costs
    contributions_budget: float | None = 30.0

    @cached_property
    def disagreement(self) -> list[dict[str, Any]]:
        """The rows on which members disagree most; they are the same for all methods."""
        return disagreement(self.predictions)

    @cached_property
    def sources(self) -> dict[str, str]:
        """The digest of the networks of each candidate; see `member_source`."""
        return {name: member_source(self.store, name) for name in self.predictions.members}

    @cached_property
    def costs(self) -> dict[str, dict[str, Any]]:
        """The costs of each candidate for one photo per call: medians of `latency_ms`, and of the part of it
        in which photos are resized, `resizing_ms` by view, which candidates share; `size_mb`.
        """
        self.clock.measure([dict(self.deployed)])
        measured = {name: self.clock.of({name: inference}) for name, inference in self.deployed.items()}
        return {
            name: {
                "latency_ms": round(cost["latency_ms"]["median"], 3),
                "resizing_ms": {view: round(ms, 3) for view, ms in cost["latency_ms"]["resizing"].items()},
                "size_mb": cost["size_mb"],
            }
            for name, cost in measured.items()
        }

    @cached_property
    def inputs(self) -> list[str]:
        """Digests of the predictions, and of those of the val split."""
        return [digest_of(self.predictions), digest_of(self.val)]


def build_all(methods: Sequence[Method], context: BuildContext, outcome: Outcome) -> None:
    """Build and score an ensemble for each method; a failure is recorded in the outcome.

    An ensemble that is stored already, made from the same inputs, is kept.
    """
    for method in track(methods, what="ensembles", name=full_name):
        name = full_name(method)
        with outcome.attempt(name):
            request = _request(method, context)
            made_from = _made_from(request, context)
            if is_kept(context.store.ensemble(name), made_from, request):
                log.info("%s is up to date", name)
                continue
            warn_if_replaced(name, context.store.ensemble(name), request)
            build_ensemble(name, method, context, {MADE_FROM: made_from, REQUEST: request})


def _request(method: Method, context: BuildContext) -> Request:
    """Return what the recipe asks for, without the costs, which are measured."""
    plain = combiner_of(method)
    return {
        "options": {"combiner": plain.key, **plain.options()},
        "candidates": dict(context.deployed),
        "calibrate": context.calibrate,
        "rows": context.rows,
        "seed": context.seed,
        "contributions_budget": context.contributions_budget,
    }


def _made_from(request: Request, context: BuildContext) -> str:
    """Return the digest of everything that determines an ensemble, except for measured costs."""
    return digest([request, context.sources, context.inputs, str(context.clock.device), __version__])


def _is_up_to_date(method: Method, context: BuildContext) -> bool:
    request = _request(method, context)
    return is_kept(context.store.ensemble(full_name(method)), _made_from(request, context), request)


def planned_fits(methods: Sequence[Method], context: BuildContext) -> dict[str, int]:
    """Return how many fits each ensemble would take.

    A combiner with fitted parameters is fitted once without each fold and once on all rows; others are not,
    nor is one that is up to date. One that may give a member a negative weight may be fitted on parts of the
    folds as well: see `ways_to_split`. The calibration of its output uses these fits.
    """
    rows = context.predictions
    folds = redraw_folds(rows, context.seed) if rows.folds is None else rows.folds
    kept = {full_name(method): 0 for method in methods if _is_up_to_date(method, context)}
    fitted = {
        full_name(method): uncalibrated(calibrated(combiner_of(method), context.calibrate, context.seed))
        for method in methods
    }
    apart = {
        negative: sum(map(len, ways_to_split(rows, folds, allows_negative_weights=negative)))
        for negative in {allows_negative_weights(each) for each in fitted.values() if each.learns}
    }
    return {
        name: 1 + apart[allows_negative_weights(each)] if each.learns else 0 for name, each in fitted.items()
    } | kept


def plan_of(methods: Sequence[Method], recipe: Recipe, store: Store) -> Summary:
    """Return a summary of the ensembles that `build` would make, with the number of fits of each."""
    context = gather(recipe, store, look_through(store))
    members, fits = list(context.predictions.members), planned_fits(methods, context)
    facts = {"members": members, "rows": context.rows, "n": len(context.predictions), "ensembles": fits}
    text = f"Fitted on {rows_in_words(context.predictions, context.rows)}; no network is run."
    return Summary(
        facts, [text, Table("Ensembles that would be built", ["ensemble", "fits"], list(fits.items()))]
    )


def build(methods: Sequence[Method], recipe: Recipe, store: Store) -> Outcome:
    """Build and score an ensemble for each method, on the members of the store that the recipe names.

    Returns
    -------
    Outcome
        The full names of the ensembles, and the methods that failed with their reasons.

    Raises
    ------
    StoreError
        The store has no members, or some have no predictions to fit on.
    """
    require_store(store)
    outcome = Outcome()
    with store.hold():
        catalog = discover(store)
        set_aside(catalog, outcome, needed=MEMBERS, renewed=[full_name(method) for method in methods])
        context = gather(recipe, store, catalog)
        _store_predictions(context)
        build_all(methods, context, outcome)
    return outcome


def gather(recipe: Recipe, store: Store, catalog: Catalog, members: Sequence[str] = ()) -> BuildContext:
    """Return the predictions and settings for a build, on the given members or those that the recipe names.

    Raises
    ------
    StoreError
        The store has no members, or some have no predictions to fit on.
    """
    members = members or choose_members(recipe, catalog["members"], store)
    deployed = choose_deployed(recipe, catalog["members"], members)
    members = fittable(store, members, deployed)
    deployed = {name: deployed[name] for name in members}
    predictions, rows = fitting_rows(store, members, deployed)
    val = None
    if rows == "oof" and has_split(store, members, "val", deployed):
        val = unseen(split_rows(store, members, "val", deployed))
    return BuildContext(
        store,
        predictions,
        rows,
        deployed,
        val=val if val is not None and is_enough(val) else None,
        calibrate=recipe.runs.score_ensemble.calibrate,
        seed=recipe.seed,
        clock=Costs(
            store,
            1,
            resolve_device(recipe.device),
            recipe.trusted_backbones(),
            has_latency_budget(recipe),
        ),
        contributions_budget=recipe.runs.score_ensemble.contributions_budget,
    )


def _store_predictions(context: BuildContext) -> None:
    """Store the joined predictions, for `committee combine` and other programs."""
    folder, made_from = context.store.oof_predictions(), digest([context.inputs, context.rows])
    if is_kept(folder, made_from):
        return
    with commit(
        folder,
        kind="predictions",
        fingerprint=digest([context.sources, context.rows]),
        made_from=made_from,
        rows=context.rows,
        members=list(context.predictions.members),
    ) as new:
        context.predictions.save(new)


def build_ensemble(
    name: str, method: Method, context: BuildContext, facts: Mapping[str, Any] | None = None
) -> None:
    """Fit, score and store one ensemble: the members that its combiner uses, and the combiner for them.

    The manifest gets the `facts`.

    The cross-fitted scores are those of the whole method. If the method selects members, the rows of each
    fold are combined by the selection that was made on the other folds.
    """
    plain = combiner_of(with_costs(method, context))
    combiner = calibrated(plain, context.calibrate, context.seed)
    fitted, scores = score(combiner, context.predictions, seed=context.seed)
    sets = _prediction_sets(fitted, scores, context)
    shipped = fitted.restrict_to_used()
    members = list(shipped.member_names)
    spec = {"combiner": combiner.key, **combiner.options()}
    record = {
        "name": name,
        "method": plain.key,
        "members": members,
        "inference": {member: context.deployed[member] for member in members},
        "calibrate": context.calibrate,
        "rows": context.rows,
        "n": len(context.predictions),
        "class_names": list(context.predictions.class_names),
        "sources": {member: context.sources[member] for member in members},
        "spec": spec,
        "candidates": dict(context.deployed),
        "calibration": _calibration(scores, context) if context.calibrate != "none" else None,
        "weights": fitted.member_weights(),
        "notes": fitted.notes(),
        "scores": scores.to_json(),
        "sets": sets,
        "contributions": _contributions(name, combiner, scores, context),
        "disagreement": context.disagreement,
    }
    fingerprint = digest([context.sources, spec, context.seed, context.rows, context.inputs])
    with commit(
        context.store.ensemble(name),
        kind="ensemble",
        fingerprint=fingerprint,
        method=plain.key,
        members=members,
        rows=context.rows,
        **(facts or {}),
    ) as folder:
        combiners.save(shipped, folder)
        write_json(folder / RECORD, record)
        write_draws(folder, scores.draws)


def with_costs(method: Method, context: BuildContext) -> Method:
    """Return a method in which combiners with the option `costs` get the measured costs, unless it is set."""
    # The final combiner of a composition combines its inputs, not members, so measured costs do not apply.
    inner = {
        key: value if key in ("combiner", "name", "final") else _with_costs_within(value, context)
        for key, value in method.items()
    }
    accepts = "costs" in combiners.COMBINERS.options(method["combiner"])
    return {**inner, "costs": context.costs} if accepts and method.get("costs") is None else inner


def _with_costs_within(value: Any, context: BuildContext) -> Any:
    """Return the value of an option, with costs in the combiners in it: a name, a method, or a mapping."""
    if isinstance(value, str) and "costs" in _options_of(value):
        return with_costs({"combiner": value}, context)
    if not isinstance(value, Mapping):
        return value
    if "combiner" in value:
        return with_costs(dict(value), context)
    return {key: _with_costs_within(each, context) for key, each in value.items()}


def _options_of(name: str) -> Collection[str]:
    """Return the names of the options of a combiner; empty if no combiner has that name."""
    return combiners.COMBINERS.options(name) if name in combiners.COMBINERS.names() else ()


def _prediction_sets(fitted: Combiner, scores: Scores, context: BuildContext) -> dict[str, Any] | None:
    """Fit temperatures on the val rows, if there are any; return the table of sets or intervals."""
    calibrator = isinstance(fitted, Calibrator)
    for_temperatures, for_sets = calibration_rows(context.val, context.seed, halve=calibrator)
    if isinstance(fitted, Calibrator) and for_temperatures is not None:
        fitted.recalibrate(for_temperatures)
    if for_sets is not None:
        return table(fitted.combine(for_sets.logits), for_sets, fitted, rows="val", approximate=False)
    return table(scores.held_out, context.predictions, fitted, rows=context.rows, approximate=True)


def _contributions(name: str, combiner: Combiner, scores: Scores, context: BuildContext) -> dict[str, float]:
    """Return the contribution of each member, or nothing if they take longer than their budget."""
    seconds, budget = contribution_seconds(combiner, context.predictions), context.contributions_budget
    if budget is not None and seconds > budget:
        log.info(
            "%s: the contributions of its members are left out, since fits without each of %d members take "
            "about %s. To compute them, raise runs.score_ensemble.contributions_budget or set it to null.",
            name,
            len(context.predictions.members),
            duration(seconds / 3600),
        )
        return {}
    return contributions(combiner, context.predictions, seed=context.seed, held_out=scores.held_out)


def _calibration(scores: Scores, context: BuildContext) -> dict[str, Any]:
    """Return the cross-fitted effect of the calibration, and a note on the rows that they were fitted on."""
    exact = context.rows == "val" or context.val is not None
    note = EXACT if exact else APPROXIMATE
    return {"method": context.calibrate, "note": note, **calibration_change(scores)}
