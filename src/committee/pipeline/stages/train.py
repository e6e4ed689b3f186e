"""The stage that trains the members of a recipe."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from committee.base.devices import resolve as resolve_device
from committee.base.text import count, duration, two_digits
from committee.errors import UnfinishedError
from committee.images.dataset import Dataset
from committee.pipeline.shared.disk_space import warn_of_disk_space
from committee.pipeline.shared.estimate import estimate
from committee.pipeline.shared.fits import fit_plans, record_failure
from committee.pipeline.shared.for_task import check_task
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.summary import Summary, Table
from committee.pipeline.shared.to_train import (
    members_to_train,
    not_adopted,
    open_for,
    plans_of,
    with_augmentation,
)
from committee.pipeline.stages.base import Names, Stage, Verbs
from committee.recipe.members import MemberSpec
from committee.recipe.model import Recipe
from committee.store.disk import free_bytes, in_words
from committee.store.layout import Store

log = logging.getLogger(__name__)


class Train(Stage):
    """Train the members of a recipe, with out-of-fold predictions.

    Each backbone is checked on one batch, trained once per fold and once on all rows, and its predictions of
    the rows on which it was not trained are stored. Results in the store with the same data and settings are
    not computed again, so the same command resumes an interrupted run. A backbone that fails is
    reported with the reason; the others are still trained.

    See Also
    --------
    committee.pipeline.stages.base.Stage : The methods that all stages have.

    Examples
    --------
    >>> from committee.pipeline.stages.train import Train
    >>> from committee.recipe.load import load_recipe
    >>> recipe = load_recipe(None, ["backbones.include=[timm:resnet18, timm:resnet50]"])
    >>> Train().names(recipe).members
    ('resnet18', 'resnet50')
    """

    sections = ("training", "runs.snapshot_ensemble")
    order = 10
    verbs: ClassVar[Verbs] = {
        "train": {
            "--time-limit": {
                "metavar": "TIME",
                "sets": "time_limit",
                "help": "name and leave out the members for which there is no time, such as 90s, 30m or 8h; "
                "unfinished fits are continued by the next run",
            }
        }
    }
    debug = "kfold"
    required = True

    def is_wanted(self, recipe: Recipe) -> bool:
        """Return True, since a run always trains its members."""
        return True

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe unchanged, since the recipe of a debug run trains few epochs already."""
        return recipe

    def names(self, recipe: Recipe) -> Names:
        """Return the names of the members, and of their snapshot ensembles."""
        names = [spec.name for spec in recipe.members()]
        section = recipe.runs.snapshot_ensemble
        if section is not None and section.enable:
            names += [f"snapshot_{name}" for name in names]
        return Names(members=tuple(names))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the fits, hours and disk space that training would take."""
        found = estimate(recipe, store)
        timed = [cost for cost in found["members"] if cost["hours"] is not None]
        columns = ["member", "backbone", "fits", "in the store", "hours", "timed on", "disk MB"]
        rows = [
            [
                *(cost[key] for key in ("member", "backbone", "fits", "stored")),
                two_digits(cost["hours"]),
                cost["source"],
                cost["disk_mb"],
            ]
            for cost in timed
        ]
        blocks: list[Table | str] = [
            f"{count(found['rows'], 'image')} of {found['outputs']}, on {found['device']}.",
            Table("Members that would be trained", columns, rows),
        ]
        blocks += [
            f"{cost['member']}: {cost['reason']}" for cost in found["members"] if cost["hours"] is None
        ]
        if found["maps_mb"] is not None:
            blocks.append(_maps(found))
        blocks += [f"{text}." for text in found["together"]]
        blocks.append(_total(found))
        if found["disk_mb"] * 1e6 > (free := free_bytes(store.root)):
            blocks.append(f"Warning: the disk of {store} has only {in_words(free)} free.")
        return Summary(found, blocks)

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Train the members.

        Raises
        ------
        UsageError
            A backbone or device does not exist, or the recipe names no backbone.
        DataError
            The data set cannot be read.
        StoreError
            The store belongs to another data set, is locked, or cannot be written.
        """
        specs = not_adopted(members_to_train(recipe, store), store)
        device = resolve_device(recipe.device)
        outcome = Outcome()
        with store.hold():
            dataset = open_for(recipe, specs, store)
            check_task(recipe, dataset.target_type)
            outcome.quarantined = dict(dataset.quarantined)
            specs = _augmented(specs, dataset, store, device, outcome)
            plans = plans_of(recipe, specs, dataset, store, device)
            warn_of_disk_space(plans, store)
            fit_plans(plans, store, recipe.make_executor(), outcome)
        return outcome

    def report(self, outcome: Outcome, store: Store) -> Summary:
        """Return a table of the members that were trained, that failed, and that are unfinished."""
        rows = [[name, "trained"] for name in dict.fromkeys(outcome.done) if name not in outcome.failed]
        rows += [[name, "failed"] for name in outcome.failed]
        rows += [[name, "unfinished"] for name in outcome.unfinished]
        blocks: list[Table | str] = [Table("Members", ["name", "result"], rows)]
        return Summary({}, [*blocks, "Next: committee build-ensemble"] if outcome.done else blocks)


def _augmented(
    specs: Sequence[MemberSpec], dataset: Dataset, store: Store, device: torch.device, outcome: Outcome
) -> list[MemberSpec]:
    """Return the members with their augmentation, without those whose trial the time limit has stopped."""
    found = list[MemberSpec]()
    for spec in specs:
        try:
            found += with_augmentation([spec], dataset, store, device, fit=True)
        except UnfinishedError as error:
            outcome.record(spec.name, error)
            record_failure(store, spec.name, outcome)
    return found


def _maps(found: dict[str, Any]) -> str:
    """Return what becomes of the outputs for all pixels."""
    if not found["maps_stored"]:
        return (
            f"Outputs for all pixels, {found['maps_mb']:.0f} MB for a fit, are not stored: evaluate computes "
            "them again (dataset.keep_maps)."
        )
    return f"Outputs for all pixels are stored: {found['maps_mb']:.0f} MB for a fit (dataset.keep_maps)."


def _total(found: dict[str, Any]) -> str:
    fits, hours = count(found["fits"], "fit"), duration(found["hours"])
    where = f"{found['workers']} at a time on {found['executor']}"
    return f"In total {fits}, about {hours} with {where}, and {found['disk_mb']:.0f} MB."
