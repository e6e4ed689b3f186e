"""The scratch store of debug sections: links to the files of the user's store, or synthetic samples."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from committee.errors import CommitteeError, StoreError
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.stages.train import Train
from committee.recipe.dataset import Dataset
from committee.recipe.members import is_named
from committee.recipe.model import Backbones, Recipe
from committee.recipe.training import Model
from committee.store.copies import fetch
from committee.store.layout import Store
from committee.tasks.base import TASKS

SAMPLES = 16
FAST = {"epochs": 1, "head_epochs": 0, "warmup_epochs": 0.0, "folds": 2, "pretrained": False}
OF_INPUT = {"channels", "img_size", "fit", "task"}
"""Keys of `dataset` that describe the input of networks and not the files of the user."""
BRIGHT = 96
NOT_LINKED = ("debug_tmp", "deploy")
DEFAULT_BACKBONE = "timm:test_resnet"


@dataclass(frozen=True)
class Bench:
    """The stores and the recipe of debug sections.

    Attributes
    ----------
    store : Store
        The user's store, which is only read.
    scratch : Store
        The store in `debug_tmp/` to which sections write.
    recipe : Recipe
        The user's recipe, or the small one of `--fast`.
    fast : bool
        Whether the scratch store starts with synthetic samples in place of the content of the user's store.
    """

    store: Store
    scratch: Store
    recipe: Recipe
    fast: bool

    def open(self) -> None:
        """Fill the scratch store with synthetic samples, or with links to the files of the user's store.

        Stored files are replaced and never changed in place, so links are as safe as copies.
        """
        self.scratch.root.mkdir(parents=True)
        if self.fast:
            images, labels = synthetic(self.recipe.dataset.channels)
            task = self.recipe.dataset.task
            dense = task in TASKS.names() and TASKS.make(task).target_type.dense
            if dense:
                np.savez(samples_file(self.scratch), images=images, masks=masks(images))
            else:
                np.savez(samples_file(self.scratch), images=images, labels=labels)
        elif self.store.root.is_dir():
            fetch(self.store.root)
            shutil.copytree(
                self.store.root, self.scratch.root, copy_function=_link, dirs_exist_ok=True, ignore=_ignore
            )

    def require_members(self) -> None:
        """Check that the scratch store has trained members; with `--fast`, train them if it has none.

        Raises
        ------
        StoreError
            The user's store has no trained members.
        """
        if not self.scratch.members() and self.fast:
            require_done(Train().run(self.recipe, self.scratch))
        if not self.scratch.members():
            raise StoreError(
                str(self.store),
                expected="trained members",
                got="none",
                todo="Run: committee train RECIPE, or debug with --fast.",
            )


def require_done(outcome: Outcome) -> None:
    """Raise the first failure of a stage, which ends its section."""
    for name, reason in outcome.failed.items():
        raise CommitteeError(name, got=reason.rstrip("."))


def names_of(recipe: Recipe) -> str:
    """Return the names of the members of a recipe, for a plan."""
    return ", ".join(spec.name for spec in recipe.members()) or "no backbone"


def samples_file(scratch: Store) -> Path:
    """Return the path of the synthetic samples of a scratch store."""
    return scratch.root / "samples.npz"


def synthetic(channels: int, size: int = 32) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return 16 noisy images of two classes, dark and bright: uint8 `[16, size, size, channels]`, `[16]`."""
    labels = np.arange(SAMPLES) % 2
    noise = np.random.default_rng(0).integers(0, 96, (SAMPLES, size, size, channels))
    return (noise + 96 * labels[:, None, None, None]).astype(np.uint8), labels


def masks(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the true maps of synthetic images, uint8 `[16, size, size]`: which pixels are bright."""
    return (images[..., 0] > BRIGHT).astype(np.uint8)


def only(recipe: Recipe, backbone: str) -> Recipe:
    """Return the recipe with one backbone only, with its settings in the recipe."""
    models = [model for model in recipe.models if is_named(backbone, model.alias or "", model.name)]
    chosen = Backbones(include=[] if models else [backbone])
    return recipe.model_copy(update={"models": models, "backbones": chosen})


def fast_recipe(recipe: Recipe, scratch: Store) -> Recipe:
    """Return the recipe for synthetic samples and one epoch; a single backbone is trained with two seeds."""
    given = recipe.dataset.model_dump(include=OF_INPUT)
    given |= {"targets": recipe.dataset.targets and recipe.dataset.targets[:1]}
    dataset = Dataset(path=str(samples_file(scratch)), reader="numpy", test_size=0.25, batch_size=4, **given)
    names = list(dict.fromkeys(spec.backbone for spec in recipe.members())) or [DEFAULT_BACKBONE]
    seeds = [0, 1] if len(names) == 1 else None
    return recipe.model_copy(
        update={
            "dataset": dataset,
            "training": recipe.training.model_copy(update=FAST),
            "overrides": {},
            "backbones": Backbones(),
            "models": [Model(name=name, seeds=seeds) for name in names],
        }
    )


def _ignore(top: str, names: list[str]) -> list[str]:
    """Return names that are not linked: temporary files, and states of fits, which are changed in place."""
    return [name for name in names if name in NOT_LINKED or name.endswith(".resume") or name[0] == "."]


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
