"""Base of the plans that train a backbone: settings of the recipe's member, and fits of its network."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from committee.base.randomness import derive
from committee.errors import RecipeError, first_five, nearest
from committee.images.dataset import Dataset
from committee.models.member import Member
from committee.recipe.members import MemberSpec
from committee.recipe.training import Training
from committee.store.hashes import hash_file
from committee.store.layout import Store
from committee.store.manifest import digest
from committee.training.fit.batches import Rows
from committee.training.fit.early_stopping import judge, judging_rows, stopping_rule
from committee.training.fit.job import Extra, Job, Trained
from committee.training.fit.smoke import smoke
from committee.training.fit.start import start_seed, starting_weights, wanted_head_epochs
from committee.training.fit.train import train_job
from committee.training.fit.weight_trackers import Weights
from committee.training.losses.base import Loss, loss_for, loss_name
from committee.training.plans.base import Plan

# Settings that decide which fits there are, how they run and which are deployed, but not what one learns.
_OTHER_FITS = {"folds", "inference", "pretrained", "plan", "together"}
_OF_MAPS = ("crops_per_image", "output_stride")


class OfBackbone(Plan):
    """A plan that trains the backbone of a member of a recipe, once or several times.

    Parameters
    ----------
    spec : MemberSpec
        Backbone and settings.
    dataset : Dataset
    store : Store
        Keeps the state of unfinished fits.
    device : torch.device

    Attributes
    ----------
    of : list of str
        Names of the members that this one repeats with another plan, if any.
    given : Training
        The settings of the recipe; those of `spec` are the ones that are used.
    fixes : str
        Why the plan does not use some settings of the recipe, for the log.
    """

    fixes: ClassVar[str] = ""

    def __init__(self, spec: MemberSpec, dataset: Dataset, store: Store, device: torch.device) -> None:
        super().__init__(dataset, store, device)
        self.loss = loss_for(spec.training, dataset.task, spec.name)
        _check(spec, dataset, self.loss)
        self.spec, self.given = spec, spec.training
        self.name, self.batch_size = spec.name, spec.batch_size
        self.folds, self.inference = spec.training.folds, spec.training.inference
        self.epochs = None if stopping_rule(spec.training, None) else spec.training.epochs
        self.of: list[str] = []

    @property
    def key(self) -> str:
        """Name of the plan in its family."""
        return type(self).__module__.rpartition(".")[2]

    def options(self) -> dict[str, Any]:
        """Return the plan's own options, as plain JSON values."""
        return {}

    def unused(self) -> dict[str, str]:
        """Return the keys of `training` that the recipe sets without an effect on this plan, and why.

        Either the plan uses another value (see `fixes`), or the value of another key makes it ineffective.
        """
        given, used = self.given, self.spec.training
        used = used.model_copy(update={"folds": self.folds, "inference": self.inference})
        why = {
            key: self.fixes for key in type(given).model_fields if getattr(given, key) != getattr(used, key)
        }
        why |= {**_ineffective(self.spec, self.folds), **self.loss.without_effect}
        if not self.dataset.target_type.dense:
            why |= dict.fromkeys(_OF_MAPS, "images have one label, and no masks")
        return {key: text for key, text in why.items() if key in given.model_fields_set}

    def settings(self) -> Mapping[str, Any]:
        """Return backbone, initial weights, sizes and every key of `training` that affects a fit."""
        spec, start = self.spec, _start(self.spec)
        return {
            "plan": self.key,
            **self.options(),
            "backbone": spec.backbone,
            "seed": spec.seed,
            "img_size": spec.img_size,
            "batch_size": spec.batch_size,
            "start": start,
            "training": {
                **_without_defaults(spec.training.model_dump(mode="json", exclude=_OTHER_FITS)),
                **self._judged(),
                "augment": spec.training.augment.settings(),
                "lr": spec.training.rate(bool(start)),
            },
        }

    def _judged(self) -> dict[str, Any]:
        """Return the loss and the rule that judges epochs, with what the task decides."""
        training, task = self.spec.training, self.dataset.task
        name, options = loss_name(training, task), training.loss.options
        rule = training.early_stop
        return {
            "loss": {"name": name, **options} if options else name,
            "early_stop": rule and {**rule.model_dump(mode="json"), "metric": judge(rule, task)},
        }

    def facts(self) -> Mapping[str, Any]:
        """Return the settings of the member in the recipe."""
        spec = self.spec
        of = {"of": self.of} if self.of else {}
        return {
            "plan": self.key,
            "backbone": spec.backbone,
            "seed": spec.seed,
            "img_size": spec.img_size,
            "pretrained": bool(starting_weights(spec)),
            "inference": self.inference,
            **of,
        }

    def choosing_rows(self, split: Literal["val", "test"]) -> Rows:
        """Return the val rows that judge epochs or stages; see the base class."""
        judges = split == "val" and self.epochs is None and not self.spec.training.folds
        return judging_rows(self.dataset) if judges else super().choosing_rows(split)

    def files(self) -> list[Path]:
        """Return the file of the initial weights, if one is named; see the base class."""
        start = starting_weights(self.spec)
        return [Path(start)] if isinstance(start, str) else []

    def builders(self) -> list[str]:
        """Return the backbone, if it is a `python:` one; see the base class."""
        return [self.spec.backbone] * self.spec.backbone.startswith("python:")

    def check(self) -> None:
        """Run one batch forward and backward; see the base class."""
        smoke(self.spec, self.dataset, self.device)

    def job(
        self,
        rows: Rows,
        fold: str,
        fingerprint: str,
        epochs: int | None = None,
        *,
        number: int | None = None,
        extra: Extra | None = None,
    ) -> Job:
        """Return the inputs of the fit of one network.

        Parameters
        ----------
        rows, fold, fingerprint, epochs
            See `run`.
        number : int, optional
            Index of the network, if a run trains several. Each has its own initial weights and augmentation.
            When a later network was interrupted, a finished one is loaded from its stored state.
        extra : Extra, optional
            Additions to the fit.
        """
        spec, folder = self.spec, self.store.resume(self.name, fold)
        if number is not None:
            spec = replace(spec, name=f"{self.name}_{number}", seed=derive(spec.seed, "network", number))
            folder = folder / f"network_{number}.resume"
            fingerprint = digest([fingerprint, number])
        size, extra = spec.batch_size, extra or Extra()
        return Job(spec, self.dataset, rows, fold, self.device, folder, fingerprint, epochs, size, extra)

    def fit(
        self,
        rows: Rows,
        fold: str,
        fingerprint: str,
        epochs: int | None = None,
        *,
        number: int | None = None,
        extra: Extra | None = None,
    ) -> Trained:
        """Train one network; see `job`."""
        return carried_out(self.job(rows, fold, fingerprint, epochs, number=number, extra=extra))

    def fixed(self, **update: Any) -> MemberSpec:
        """Return the spec with a fixed number of epochs and with updated settings of `training`."""
        settings: dict[str, Any] = {"early_stop": None, "best_checkpoint": False, **update}
        training: Training = self.spec.training.model_copy(update=settings)
        return replace(self.spec, training=training)


def carried_out(job: Job) -> Trained:
    """Train the network of a job."""
    return described(job, train_job(job))


def described(job: Job, trained: Trained) -> Trained:
    """Add the start and the augmentation of a fit to the provenance of its member."""
    augment = job.spec.training.augment
    trained.member.provenance |= {
        "start": start_of(job.spec, job.fold),
        "augment": {**augment.settings(), "preset": augment.preset},
    }
    return trained


def _without_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without those of maps that are not set, as in earlier versions, whose fits are kept."""
    return {key: value for key, value in settings.items() if key not in _OF_MAPS or value is not None}


def _ineffective(spec: MemberSpec, folds: int) -> dict[str, str]:
    """Return the keys of `training` that the values of other keys make ineffective, and why."""
    training, why = spec.training, dict[str, str]()
    if training.scheduler != "cyclic":
        why["cycle_epochs"] = f"the scheduler {training.scheduler} has no cycles"
    if training.optimizer != "sgd":
        why["momentum"] = f"the optimizer {training.optimizer} has none"
    if training.head_epochs and not wanted_head_epochs(spec):
        frozen = starting_weights(spec) and not training.body_lr
        start = "the body is frozen in all epochs" if frozen else "the initial weights are random"
        why["head_epochs"] = f"{start}, so there are no epochs in which only the head is trained"
    if training.inference == "folds" and not folds:
        why["inference"] = "there are no fold networks"
    return why


def _check(spec: MemberSpec, dataset: Dataset, loss: Loss) -> None:
    """Raise RecipeError for a metric of another task, or for the weight of a class that does not exist."""
    if spec.training.early_stop is not None:
        judge(spec.training.early_stop, dataset.task, spec.name)
    weights, class_names = spec.training.class_weights, dataset.class_names
    if "class_weights" in loss.without_effect:
        return
    for name in weights if isinstance(weights, dict) else ():
        if name not in class_names:
            raise RecipeError(
                f"{spec.name}: training.class_weights",
                expected=f"names of classes, such as {first_five(class_names)}",
                got=f"'{name}'",
                todo=nearest(name, class_names),
            )


def with_weights(member: Member, weights: Weights, name: str) -> Member:
    """Return a copy of a member with other weights and another name."""
    twin = copy.deepcopy(member)
    twin.network.load_state_dict(weights)
    twin.name = name
    return twin.to("cpu").eval()


def start_of(spec: MemberSpec, fold: str) -> str:
    """Return a digest of the initial weights of a fit, equal for fits with the same initial weights."""
    return digest([spec.backbone, spec.img_size, _start(spec), start_seed(spec, fold)])


def _start(spec: MemberSpec) -> bool | str:
    start = starting_weights(spec)
    return hash_file(Path(start)) if isinstance(start, str) else start
