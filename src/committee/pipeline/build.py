"""The second stage: learn ensembles from the stored predictions of members, and score them honestly."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from committee.combiners import _base as combiners
from committee.combiners._base import Combiner
from committee.combiners._calibrations import calibrated
from committee.combiners._calibrator import Calibrator
from committee.combiners._crossfit import redraw_folds, splits, turns
from committee.errors import UsageError
from committee.pipeline.choose import (
    Method,
    choose_members,
    choose_methods,
    choose_voices,
    combiner_of,
    full_name,
)
from committee.pipeline.discover import (
    MEMBERS,
    Catalog,
    discover,
    look_through,
    require_store,
    set_aside,
)
from committee.pipeline.outcome import Outcome
from committee.pipeline.records import RECORD, member_source
from committee.pipeline.splits import fitting_rows, has_split, split_rows
from committee.predictions import Predictions
from committee.progress import track
from committee.recipe.model import Recipe
from committee.scoring import Scores, calibration_change, contributions, disagreement, score_all
from committee.store.commit import commit, write_json
from committee.store.layout import Store
from committee.store.manifest import digest

log = logging.getLogger(__name__)

APPROXIMATE = "fitted on out-of-fold rows: an approximation for the networks that speak"
EXACT = "fitted on rows kept apart, on the networks that speak"


@dataclass(frozen=True)
class _Material:
    """What every method of one build learns from."""

    predictions: Predictions
    rows: str
    voices: Mapping[str, str]
    apart: Predictions | None
    calibrate: str
    seed: int

    @cached_property
    def disagreement(self) -> list[dict[str, Any]]:
        """The rows on which members disagree most: the same for all methods."""
        return disagreement(self.predictions)


def build(recipe: Recipe, store: Store, methods: Sequence[str] = ()) -> Outcome:
    """Build and score an ensemble for each method, on the members of the store that the recipe means.

    Parameters
    ----------
    recipe : Recipe
        Which members, which methods, how to calibrate.
    store : Store
        A store with trained members.
    methods : sequence of str
        Methods instead of the recipe's, by the name of a combiner or an ensemble.

    Returns
    -------
    Outcome
        The full names of the ensembles made, and the methods that failed with their reasons.

    Raises
    ------
    UsageError
        There is no method, or one that does not exist.
    StoreError
        There are no members, or some have no predictions to learn from.
    """
    outcome = Outcome(unbuilt=recipe.unbuilt())
    chosen = choose_methods(recipe, methods)
    if not chosen:
        raise UsageError(
            "runs", expected="at least one enabled method", got="none", todo="Name one: --method soft_voting"
        )
    require_store(store)
    with store.hold():
        catalog = discover(store)
        set_aside(catalog, outcome, needed=MEMBERS, renewed=[full_name(method) for method in chosen])
        material = _material(recipe, store, catalog)
        _keep(store, material)
        for method in track(chosen, what="ensembles"):
            name = full_name(method)
            with outcome.attempt(name):
                _build_one(store, name, method, material)
    return outcome


def plan_build(recipe: Recipe, store: Store, methods: Sequence[str] = ()) -> dict[str, Any]:
    """Return what `build` would do: `members`, `rows` (`oof` or `val`), and the `fits` of each ensemble.

    A method that learns is fitted on all rows but each fold, and on all; one that does not is only applied.
    """
    material = _material(recipe, store, look_through(store))
    rows = material.predictions
    folds = redraw_folds(rows, material.seed) if rows.folds is None else rows.folds
    rules = {full_name(method): _calibrated(method, material) for method in choose_methods(recipe, methods)}
    fits = {
        name: 1 + len(splits(rows, folds, within_folds=turns(rule))) if rule.learns else 0
        for name, rule in rules.items()
    }
    return {"members": list(rows.members), "rows": material.rows, "n": len(rows), "ensembles": fits}


def _material(recipe: Recipe, store: Store, catalog: Catalog) -> _Material:
    members = choose_members(recipe, catalog["members"], store)
    voices = choose_voices(recipe, catalog["members"], members)
    predictions, rows = fitting_rows(store, members, voices)
    kept_apart = rows == "oof" and has_split(store, members, "val", voices)
    return _Material(
        predictions, rows, voices,
        apart=split_rows(store, members, "val", voices) if kept_apart else None,
        calibrate=recipe.runs.score_ensemble.calibrate, seed=recipe.seed,
    )  # fmt: skip


def _keep(store: Store, material: _Material) -> None:
    """Store the joined predictions, for `committee combine` and for people's own tools."""
    sources = {name: member_source(store, name) for name in material.predictions.members}
    with commit(
        store.oof_predictions(), kind="predictions", made_from=digest([sources, material.rows]),
        rows=material.rows, members=list(material.predictions.members),
    ) as folder:  # fmt: skip
        material.predictions.save(folder)


def _build_one(store: Store, name: str, method: Method, material: _Material) -> None:
    plain = combiner_of(method)
    rules = {"calibrated": _calibrated(method, material)}
    if material.calibrate != "none":
        rules["plain"] = plain
    found = score_all(rules, material.predictions, seed=material.seed)
    fitted, scores = found["calibrated"]
    if material.apart is not None and isinstance(fitted, Calibrator):
        fitted.recalibrate(material.apart)
    record = {
        "name": name, "method": plain.key, "members": list(material.predictions.members),
        "speaks": dict(material.voices), "calibrate": material.calibrate, "rows": material.rows,
        "n": len(material.predictions.sample_ids), "class_names": list(material.predictions.class_names),
        "sources": {member: member_source(store, member) for member in material.predictions.members},
        "calibration": _calibration(found["plain"][1], scores, material) if "plain" in found else None,
        "weights": fitted.member_weights(), "notes": fitted.notes(), "scores": scores.to_json(),
        "contributions": contributions(rules["calibrated"], material.predictions, seed=material.seed),
        "disagreement": material.disagreement,
    }  # fmt: skip
    made_from = digest([record["sources"], fitted.options(), material.seed, material.rows])
    with commit(
        store.ensemble(name), kind="ensemble", made_from=made_from, method=plain.key,
        members=record["members"], rows=material.rows,
    ) as folder:  # fmt: skip
        combiners.save(fitted, folder)
        write_json(folder / RECORD, record)
    log.info("%s: log-loss %.4f cross-fitted", name, scores.cross_fitted["log_loss"].value)


def _calibrated(method: Method, material: _Material) -> Combiner:
    return calibrated(combiner_of(method), material.calibrate, material.seed)


def _calibration(before: Scores, after: Scores, material: _Material) -> dict[str, Any]:
    """Return what the temperatures changed, cross-fitted, and how far they can be relied on."""
    exact = material.rows == "val" or material.apart is not None
    note = EXACT if exact else APPROXIMATE
    return {"method": material.calibrate, "note": note, **calibration_change(before, after)}
