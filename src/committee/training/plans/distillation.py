"""Plan that trains a backbone to predict like a stored member or ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from committee.errors import RecipeError
from committee.images.dataset import Dataset
from committee.recipe.distillation import Distillation as Section
from committee.recipe.members import MemberSpec
from committee.store.commit import remove
from committee.store.layout import Store
from committee.store.manifest import digest
from committee.training.distillation_losses.base import check_serves
from committee.training.fit.batches import Rows
from committee.training.fit.distillation_step import DistillationStep
from committee.training.fit.job import Extra
from committee.training.fit.map_distillation_step import MapDistillationStep
from committee.training.fit.teacher import REFIT, Teacher
from committee.training.fit.teacher_engine import EAGER
from committee.training.fit.teaching import Targets, Teaching
from committee.training.plans.base import Stored
from committee.training.plans.shared.of_backbone import OfBackbone

NOT_IN_FITS = {"enable", "teacher", "student", "epochs", "lr", "batch_size", "unlabeled", "seeds"}
"""Keys of the section that are part of the backbone's settings, or do not change a fit."""


class Distillation(OfBackbone):
    """A student: a backbone that is trained to predict like a stored member or ensemble, its teacher.

    The student of a fold is taught by the networks of the same fold, and by a combiner that was fitted
    without the rows of the fold, so no label of a row reaches the prediction that the row is scored by. The
    refit is taught by the deployed networks, or each image by the networks of its fold.

    Parameters
    ----------
    spec : MemberSpec
        The student. It trains all epochs, and its refit is deployed.
    dataset : Dataset
    store : Store
    device : torch.device
    config : Section
        `distillation` of the recipe.
    teacher : Teacher
    unlabeled : Dataset, optional
        Images without labels, from `open_unlabeled`.

    Raises
    ------
    RecipeError
        The loss of the section does not serve the task of the data set.

    See Also
    --------
    committee.training.fit.distillation_step.DistillationStep : The loss of a batch.
    Single : The same without a teacher.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015 (arXiv 1503.02531).

    Examples
    --------
    >>> from committee.recipe.distillation import Distillation as Section
    >>> from committee.training.plans._example import example_arguments, example_teacher
    >>> teacher = example_teacher("a", "b")
    >>> plan = Distillation(**example_arguments(), config=Section(alpha=0.9), teacher=teacher)
    >>> plan.facts()["teacher"], plan.facts()["of"], plan.settings()["distillation"]["alpha"]
    ('soft_voting_ensemble', ['a', 'b'], 0.9)
    """

    section = "distillation"
    fixes = "a student trains all epochs and keeps the weights of the last one, and its refit is deployed"

    def __init__(
        self,
        spec: MemberSpec,
        dataset: Dataset,
        store: Store,
        device: torch.device,
        config: Section,
        teacher: Teacher,
        unlabeled: Dataset | None = None,
    ) -> None:
        super().__init__(spec, dataset, store, device)
        check_serves(str(config.loss.name), dataset.task)
        if dataset.target_type.dense:
            _check_of_maps(config)
        self.spec = self.fixed()
        self.epochs, self.inference = self.spec.training.epochs, REFIT
        self.config, self.teacher, self.unlabeled = config, teacher, unlabeled
        self.of = list(teacher.shipped.member_names)
        self.folds = 0 if teacher.predictions is None else len(self._fold_numbers())

    def settings(self) -> Mapping[str, Any]:
        """Return the settings of the backbone, what the teacher was made from, and how it teaches."""
        return {
            **super().settings(),
            "teacher": self.teacher.source,
            "distillation": self._settings(NOT_IN_FITS),
            "unlabeled": None if self.unlabeled is None else self.unlabeled.fingerprint,
        }

    def facts(self) -> Mapping[str, Any]:
        """Return the settings of the student, its teacher and the members of the teacher."""
        return {**super().facts(), "teacher": self.teacher.name}

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Train the student on `rows`; see the base class."""
        targets = (
            None if self.config.cached is None else self.store.cache(f"targets-{digest(fingerprint)[:16]}")
        )
        teaching = self._teaching(fold, targets)
        if targets is not None:
            images = teaching.transfer_set(self.dataset, rows, self.spec)
            Targets(teaching, images).make(
                fingerprint, self.spec.training.epochs, self.batch_size, self.device
            )
        step = DistillationStep if self.dataset.maps is None else MapDistillationStep
        member = self.fit(rows, fold, fingerprint, extra=Extra(step=partial(step, teaching))).member
        member.provenance |= {
            "teacher": self.teacher.name,
            "distillation": self._settings({"enable"}),
            "summary": self._summary(fold),
        }
        if targets is not None:
            remove(targets)
        return {self.name: member}

    def _settings(self, without: set[str]) -> dict[str, Any]:
        """Return keys of the section; the engine only if one is named, so that earlier fits stay valid."""
        without = without | ({"engine"} if self.config.engine == EAGER else set())
        return self.config.model_dump(mode="json", exclude=without)

    def _teaching(self, fold: str, targets: Path | None) -> Teaching:
        config = self.config
        by_folds = (
            fold == REFIT and config.teacher_rows == "out_of_fold" and self.teacher.predictions is not None
        )
        fits = [f"fold_{k}" for k in self._fold_numbers()] if by_folds else [fold]
        return Teaching(
            self.teacher,
            fits,
            str(config.loss.name),
            config.loss_options(),
            config.alpha,
            mixup=config.mixup,
            views=config.cached,
            unlabeled=self.unlabeled,
            targets=targets,
            engine=str(config.engine),
        )

    def _fold_numbers(self) -> list[int]:
        folds = self.dataset.folds
        return sorted(set(folds[folds >= 0].tolist()))

    def _summary(self, fold: str) -> str:
        networks = "fold networks" if len(self._teaching(fold, None).fits) > 1 else f"{fold} networks"
        taught = f"taught by the {networks} of {self.teacher.name} with {self.config.loss.name}"
        return f"{self.spec.backbone} {taught}"


def _check_of_maps(config: Section) -> None:
    """Raise RecipeError for keys that need one target for each image."""
    for key in ("cached", "mixup", "unlabeled"):
        if getattr(config, key):
            raise RecipeError(
                f"distillation.{key}",
                expected="no value for images with masks, whose teacher predicts each crop anew",
                got=str(getattr(config, key)),
                todo="Remove the key.",
            )
    if config.engine != EAGER:
        raise RecipeError(
            "distillation.engine",
            expected=f"{EAGER} for images with masks, whose crops differ in size",
            got=str(config.engine),
            todo="Remove the key.",
        )
