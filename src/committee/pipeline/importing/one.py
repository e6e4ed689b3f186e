"""Import of one model: its predictions are read and matched, and its networks are adopted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from committee.errors import CommitteeError, MismatchError, UsageError, first_five
from committee.images.dataset import Dataset
from committee.pipeline.adopt import adopt, check
from committee.pipeline.foreign import Adopted, Foreign
from committee.pipeline.importing.architectures import architectures
from committee.pipeline.importing.content import Content
from committee.pipeline.importing.files import Files
from committee.pipeline.importing.folds import HeldOut, are_those_of, split_groups
from committee.pipeline.importing.predictions import matched
from committee.pipeline.importing.rows import Match, orders_of
from committee.pipeline.importing.settings import Settings
from committee.pipeline.importing.stored import store_rows
from committee.pipeline.importing.wanted import Imported, Wanted
from committee.pipeline.layouts.base import LAYOUTS, REFIT, Found
from committee.predictions.table import Predictions
from committee.recipe.model import Recipe
from committee.store.layout import Store
from committee.tasks.base import task_of

LEAST_AGREEMENT = 0.95
"""Share of rows with the same class in the trainer's file and here, below which the difference is noted."""
LARGEST_DIFFERENCE = 0.03
"""Difference between the accuracy that the trainer noted and that here, above which it is noted."""


class Model:
    """One model to import.

    Parameters
    ----------
    name : str
        Its name in the store.
    found : Found
        What a layout recognized.
    content : Content
        What its checkpoint says.
    files : Files
        The files, for the numbers of folds in their names.
    dataset : Dataset or None
        The images of the store.
    wanted : Wanted
        What the user says.

    Attributes
    ----------
    rows : dict of str to Predictions
        The predictions of each split that can be read.
    matches : dict of str to Match
        Those that are of images of the data set.
    held_out : dict of str to int
        Id of an image -> the fold in which it was held out.
    result : Imported
        What became of it.

    See Also
    --------
    adopt_model : Adopt its networks.
    store_model : Store its predictions.
    """

    def __init__(
        self,
        name: str,
        found: Found,
        content: Content,
        files: Files,
        dataset: Dataset | None,
        wanted: Wanted,
    ) -> None:
        self.name, self.found, self.content, self.wanted = name, found, content, wanted
        title = LAYOUTS.load(found.layout).title
        self.result = Imported(name, title, tuple(found.networks), tuple(found.predictions))
        self.rows: dict[str, Predictions] = {}
        self.matches: dict[str, Match] = {}
        self.held_out: HeldOut = {}
        for split, paths in found.predictions.items():
            try:
                self.rows[split], rows = matched(_by_fold(paths, files), name, split, dataset)
                if rows is not None:
                    self.matches[split] = rows
            except CommitteeError as error:
                self.result.notes.append(str(error))
        if "oof" in self.matches:
            rows = self.matches["oof"]
            folds = rows.predictions.folds
            assert dataset is not None
            ids = dataset.sample_ids[rows.rows].tolist()
            self.held_out = {} if folds is None else dict(zip(ids, folds.tolist(), strict=True))

    def explain_rows(self, dataset: Dataset) -> None:
        """Note how rows were matched, and what is unusual about the folds."""
        notes = self.result.notes
        for split, rows in self.matches.items():
            if rows.by != "id":
                notes.append(f"The {split} rows are matched with images by {rows.by}.")
            if rows.left_out:
                notes.append(f"{rows.left_out} of its {split} rows are no images of the data set.")
        if self.held_out and not are_those_of(dataset, self.held_out):
            notes.append(
                "Its folds are not those of the store, on which combiners are cross-fitted. Scores are a "
                "little too good if they differ much; a new store takes the folds of its first models."
            )
        if count := split_groups(dataset, self.held_out):
            notes.append(
                f"{count} groups of copies or related images are in several of its folds: its out-of-fold "
                "predictions may be too good."
            )


def _by_fold(paths: list[Path], files: Files) -> Mapping[int, Path]:
    """Return files by the fold in their names; of files without one, the first under -1."""
    folds = {files.fold(path): path for path in paths}
    numbered = {fold: path for fold, path in folds.items() if fold is not None}
    return numbered if len(numbered) == len(folds) else {-1: paths[0]}


def store_model(model: Model, store: Store, dataset: Dataset | None, dry_run: bool) -> None:
    """Store the predictions of a model without networks."""
    if not model.rows:
        return
    if dataset is not None:
        model.explain_rows(dataset)
    states = [
        store_rows(store, model.name, split, rows, model.matches.get(split), dataset, dry_run)
        for split, rows in model.rows.items()
    ]
    model.result.predictions = tuple(model.rows)
    model.result.state = "stored" if "stored" in states else states[0]


def adopt_model(model: Model, recipe: Recipe, store: Store, dataset: Dataset, dry_run: bool) -> None:
    """Adopt the networks of a model, and compare its predictions with those of its files."""
    foreign = _foreign(model, recipe, dataset)
    model.result.backbone = foreign.backbone
    model.explain_rows(dataset)
    found = check(recipe, store, foreign, dataset) if dry_run else adopt(recipe, store, foreign)
    model.result.state, model.result.adopted = found.state, found
    if not dry_run:
        _compare(model, store, found)
    if not any(found.fresh.values()):
        model.result.notes.append(
            "It may have been trained on all images: it is left out of ensembles. Name the images that "
            "it was not trained on with --seen or --fresh."
        )


def _foreign(model: Model, recipe: Recipe, dataset: Dataset) -> Foreign:
    """Return the description of a model's networks, from what the user and the files say."""
    found, wanted = model.found, model.wanted
    settings = wanted.settings.over(model.content.settings.over(found.settings))
    classes = _classes(model, settings, dataset)
    ema = wanted.ema or (found.ema and model.content.has_average)
    if ema and not wanted.ema:
        model.result.notes.append("The moving average of its weights is used, by which its trainer chose it.")
    foreign = Foreign(
        model.name,
        "",
        found.networks.get(REFIT),
        classes,
        settings.size,
        settings.mean,
        settings.std,
        wanted.seen,
        wanted.fresh,
        ema,
        {int(key.rpartition("_")[2]): path for key, path in found.networks.items() if key != REFIT},
        model.held_out,
        wanted.shift,
        wanted.scale,
    )
    return replace(foreign, backbone=_backbone(model, foreign, settings, recipe, dataset))


def _classes(model: Model, settings: Settings, dataset: Dataset) -> tuple[str, ...]:
    """Return the names of the outputs in order: as given, as labels show, or as the trainer sorts classes."""
    own = dataset.class_names
    if model.wanted.classes is not None and settings.classes:
        return settings.classes
    shown = [rows.classes for rows in model.matches.values() if rows.classes]
    if shown:
        return shown[0]
    if settings.classes and set(settings.classes) == set(own):
        return settings.classes
    if not dataset.task.logits:
        if len(own) == 1:
            return own
        raise UsageError(
            model.name,
            expected="the order of its targets",
            got="no names",
            todo="Name its targets in the order of its outputs: --classes FILE",
        )
    orders = orders_of(own)
    if len(orders) == 1:
        return orders[0]
    if model.found.order:
        return orders[0 if model.found.order == "text" else -1]
    raise UsageError(
        model.name,
        expected="the order of its classes",
        got=f"no names, and two usual orders: {first_five(orders[0])} or {first_five(orders[1])}",
        todo="Name its classes in the order of its outputs: --classes FILE",
    )


def _backbone(model: Model, foreign: Foreign, settings: Settings, recipe: Recipe, dataset: Dataset) -> str:
    """Return the architecture that the user names, or the first possible one that the weights fit."""
    wanted = model.wanted.backbones
    given = wanted.get(model.name) or wanted.get(model.found.name) or wanted.get("")
    if given:
        return given
    names = [each for each in (settings.backbone, model.found.name) if each]
    first = "torchvision" if model.found.layout == "torchvision" else "timm"
    candidates = architectures(names, first)
    if not candidates:
        raise UsageError(
            model.name,
            expected="the name of its architecture",
            got=f"none that is known ({', '.join(map(repr, names)) or 'no name'})",
            todo=f"Name it: --backbone {model.name}=timm:NAME",
        )
    problem: CommitteeError | None = None
    for candidate in candidates:
        try:
            check(recipe, None, replace(_first(foreign), backbone=candidate), dataset)
            return candidate
        except (MismatchError, UsageError) as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _first(foreign: Foreign) -> Foreign:
    """Return the description of one of the networks alone."""
    if foreign.weights is not None:
        return replace(foreign, folds={})
    return replace(foreign, folds=dict([next(iter(foreign.folds.items()))]))


def _compare(model: Model, store: Store, found: Adopted) -> None:
    """Note where the stored predictions differ from those of the trainer's files, or from its metrics."""
    notes = model.result.notes
    advice = "Check --img-size, --mean and --std, and the order of the classes."
    rows = model.matches.get("oof")
    here = Predictions.load(store.kfold(model.name) / "oof")
    if rows is not None and rows.classes and model.held_out:
        own = {name: row for row, name in enumerate(here.sample_ids.tolist())}
        pairs = [(place, own[name]) for place, name in enumerate(model.held_out) if name in own]
        theirs, places = np.array(pairs, np.int64).reshape(-1, 2).T
        order, labels = [rows.classes.index(name) for name in here.class_names], here.require_labels("import")
        written = rows.predictions.logits[0, theirs][:, order]
        alike = task_of(here).alike(written, here.logits[0, places], labels[places])
        same, how = (
            float(alike.mean()) if len(alike) else 1.0,
            "the same" if task_of(here).logits else "similar",
        )
        notes.append(f"{100 * same:.1f}% of its answers in the files of predictions are {how} here.")
        if same < LEAST_AGREEMENT:
            notes.append(advice)
    accuracy = found.agrees.get("fresh", found.agrees.get("seen"))
    score = model.found.score
    noted = score is not None and task_of(here).metric(task_of(here).guarded).in_points
    if noted and accuracy is not None and abs((score or 0.0) - accuracy) > LARGEST_DIFFERENCE:
        notes.append(f"Its metrics have an accuracy of {score:.3f}, and here it is {accuracy:.3f}. {advice}")
