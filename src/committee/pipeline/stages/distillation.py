"""The stage that trains a student to predict like an ensemble."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import ClassVar

from committee.backbones.build import resolve as resolve_backbone
from committee.base.devices import resolve as resolve_device
from committee.base.randomness import derive
from committee.errors import UnknownNameError
from committee.images.dataset import Dataset, preview_dataset
from committee.images.source import path_of
from committee.images.unlabeled import open_unlabeled
from committee.models.measure import parameters, size_mb
from committee.pipeline.discover import MEMBERS, Catalog, discover, look_through, require_store, set_aside
from committee.pipeline.shared.build import build
from committee.pipeline.shared.choose import choose_methods
from committee.pipeline.shared.derived_members import open_context
from committee.pipeline.shared.distillation_cost import Size, describe, size_warning, student_size
from committee.pipeline.shared.distilled import DISTILLED, SCRATCH, write_comparison
from committee.pipeline.shared.fits import fit_plans
from committee.pipeline.shared.for_task import for_store
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.summary import Summary
from committee.pipeline.shared.teachers import teacher_of
from committee.pipeline.shared.to_train import with_augmentation
from committee.pipeline.stages.base import Names, Stage, Verbs, enabled
from committee.recipe.distillation import Distillation as Section
from committee.recipe.members import MemberSpec, expand, slug
from committee.recipe.model import Recipe
from committee.recipe.training import Model
from committee.recipe.training import Plan as PlanSection
from committee.store.commit import remove
from committee.store.layout import Store
from committee.training.fit.teacher import REFIT
from committee.training.plans.distillation import Distillation as Plan
from committee.training.plans.shared.of_backbone import OfBackbone
from committee.training.plans.single import Single

log = logging.getLogger(__name__)

PREFIX = "distilled_"
FAST_TEACHER = "soft_voting"
SHORT = {"epochs": 1, "seeds": 1}
FAST = {"teacher": FAST_TEACHER, "student": "timm:test_resnet", **SHORT}
"""The section in a fast debug run."""


class Distillation(Stage):
    """Train one network, a student, to predict like an ensemble.

    The teacher is any member or ensemble, the student any backbone. The student becomes the member
    distilled_<student>, which is cross-fitted, calibrated, combined and exported like any other. Students
    with several seeds, with and without the teacher, are trained on all rows as well; evaluate compares them.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015 (arXiv 1503.02531).

    See Also
    --------
    committee.training.plans.distillation.Distillation : How a student is trained.

    Examples
    --------
    >>> from committee.pipeline.stages.distillation import Distillation
    >>> from committee.recipe.load import load_recipe
    >>> Distillation().names(load_recipe(None, ["distillation.student=timm:resnet18"])).members
    ('distilled_resnet18',)
    """

    sections = ("distillation",)
    order = 85
    optional = True
    verbs: ClassVar[Verbs] = {
        "distill": {
            "--teacher": {
                "metavar": "NAME",
                "help": "member or ensemble that teaches (default: distillation.teacher of the recipe)",
                "sets": "distillation.teacher",
                "enables": "distillation.enable",
            },
            "--student": {
                "metavar": "BACKBONE",
                "help": "backbone of the student (default: distillation.student of the recipe)",
                "sets": "distillation.student",
                "enables": "distillation.enable",
            },
        }
    }
    debug = "distill"
    todo = "Add the section to the recipe, or: --student timm:mobilenetv3_small_100"

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe with its student, for one epoch; a fast run has a small one, as has no section.

        Averages of members teach the small student, which starts with random weights.
        """
        if not fast and recipe.distillation is not None:
            return enabled(recipe, self.sections[0], **SHORT)
        training = recipe.training.model_copy(update={"pretrained": False})
        return enabled(recipe.model_copy(update={"training": training}), self.sections[0], **FAST)

    def names(self, recipe: Recipe) -> Names:
        """Return the name of the student as a member."""
        return Names(members=(f"{PREFIX}{slug(self.section(recipe).student)}",))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the fits, their cost, and the sizes of teacher and student."""
        recipe, catalog = for_store(recipe, store), look_through(store)
        section = self.section(recipe)
        dataset = preview_dataset(recipe.dataset, store, folds=recipe.training.folds, seed=recipe.seed)
        parts = _Parts(section, recipe, store, catalog, dataset, fit=False)
        return Summary(*describe(parts.plan, parts.others))

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Train the student, and the students that it is compared with.

        Raises
        ------
        UsageError
            The recipe does not enable the section, or the teacher has other classes or targets.
        UnknownNameError
            The store has no such teacher, or there is no such backbone.
        RecipeError
            The teacher is made from the student, or the loss does not serve the task.
        DataError
            The folder of unlabeled images has none.
        """
        recipe = for_store(recipe, store)
        section = self.section(recipe)
        require_store(store)
        outcome = Outcome()
        with store.hold():
            catalog = discover(store)
            set_aside(catalog, outcome, needed=(*MEMBERS, "ensembles"), renewed=self.renewed(recipe))
            spec = student_spec(section, recipe)
            members = [str(entry["name"]) for entry in catalog["members"]]
            dataset = open_context(recipe, store, catalog, members, [spec.img_size]).dataset
            parts = _Parts(section, recipe, store, catalog, dataset, fit=True)
            parts.warn_of_size()
            fit_plans([parts.plan], store, recipe.make_executor(), outcome)
            if parts.plan.name in outcome.done and parts.others:
                _compare(parts, recipe, outcome)
            discover(store)
        return outcome

    def rehearse(self, recipe: Recipe, store: Store) -> Outcome:
        """Build the mean of the members if the store lacks the teacher, and then train the student."""
        try:
            store.resolve(self.section(recipe).teacher)
        except UnknownNameError:
            build(choose_methods(recipe, [FAST_TEACHER]), recipe, store)
            recipe = enabled(recipe, self.sections[0], teacher=FAST_TEACHER)
        return self.run(recipe, store)


def student_spec(section: Section, recipe: Recipe) -> MemberSpec:
    """Return the settings of the student: those of `training` and `overrides`, with those of the section."""
    resolve_backbone(section.student)
    name = f"{PREFIX}{slug(section.student)}"
    model = Model.model_validate({"name": section.student, "as": name})
    sizes = {"img_size": recipe.dataset.img_size, "batch_size": recipe.dataset.batch_size}
    (spec,) = expand(model, recipe.training, sizes, recipe.overrides, recipe.seed)
    own = {"epochs": section.epochs, "lr": section.lr, "plan": PlanSection()}
    return replace(spec, batch_size=section.batch_size, training=spec.training.model_copy(update=own))


class _Parts:
    """The plans of a student, and of the students that it is compared with.

    Parameters
    ----------
    section, recipe, store, catalog, dataset
    fit : bool
        Whether images may be decoded and an augmentation may be chosen by fits.
    """

    def __init__(
        self, section: Section, recipe: Recipe, store: Store, catalog: Catalog, dataset: Dataset, *, fit: bool
    ) -> None:
        device, spec = resolve_device(recipe.device), student_spec(section, recipe)
        (spec,) = with_augmentation([spec], dataset, store, device, fit=fit)
        trusted = recipe.trusted_backbones()
        self.teacher = teacher_of(
            section.teacher,
            spec.name,
            dataset.class_names,
            store,
            catalog["members"],
            trusted,
            dataset.task,
        )
        is_dealt = bool(recipe.training.folds)
        if is_dealt and section.teacher_rows == "out_of_fold" and self.teacher.predictions is None:
            log.warning("distillation.teacher_rows has no effect: %s has no fold networks", self.teacher.name)
        unlabeled = _unlabeled(section, recipe, dataset, store, fit=fit)
        make = partial(Plan, dataset=dataset, device=device, config=section, teacher=self.teacher)
        self.plan = make(spec, store=store, unlabeled=unlabeled)
        self.others: list[OfBackbone] = []
        if len(dataset.rows("test")):
            inner = store.comparison(spec.name)
            for number in range(section.seeds):
                seed = derive(spec.seed, "comparison", number) if number else spec.seed
                alone = replace(self.plan.spec, seed=seed)
                self.others.append(Single(replace(alone, name=f"{SCRATCH}{number}"), dataset, inner, device))
                if number:
                    taught = replace(alone, name=f"{DISTILLED}{number}")
                    self.others.append(make(taught, store=inner, unlabeled=unlabeled))
            for plan in self.others:
                plan.folds = 0
        elif section.seeds:
            log.info("%s is not compared with students trained alone: there is no test split", spec.name)

    def warn_of_size(self) -> None:
        """Log a warning if the student is larger than its teacher."""
        whole = self.teacher.module(REFIT, self.plan.dataset.class_names)
        if text := size_warning(self.plan, student_size(self.plan), Size(parameters(whole), size_mb(whole))):
            log.warning("%s", text)


def _unlabeled(
    section: Section, recipe: Recipe, dataset: Dataset, store: Store, *, fit: bool
) -> Dataset | None:
    if section.unlabeled is None:
        return None
    return open_unlabeled(
        path_of(section.unlabeled),
        dataset,
        store,
        list(dataset.canvases) if fit else (),
        workers=recipe.dataset.num_workers,
        who="distillation.unlabeled",
    )


def _compare(parts: _Parts, recipe: Recipe, outcome: Outcome) -> None:
    """Train the students that a distilled one is compared with, in a store of their own."""
    name, teacher = parts.plan.name, parts.teacher
    inner, found = parts.others[0].store, Outcome()
    with inner.hold():
        planned = {plan.name for plan in parts.others}
        for member in set(inner.members()) - planned:
            remove(inner.checkpoint(member, REFIT).parent)
            remove(inner.kfold(member))
        fit_plans(parts.others, inner, recipe.make_executor(), found)
    for mine, its in ((outcome.failed, found.failed), (outcome.unfinished, found.unfinished)):
        mine |= {f"{name}: comparison with {each}": reason for each, reason in its.items()}
    if not found.missing:
        write_comparison(teacher.store, name, teacher.name)
