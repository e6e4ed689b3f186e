"""A tiny data set and the constructor arguments of a plan, for the examples in docstrings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from committee.combiners.soft_voting import SoftVoting
from committee.images.dataset import Dataset
from committee.images.view import CanvasSpec
from committee.recipe.load import load_recipe
from committee.store.layout import Store
from committee.training.fit.teacher import Teacher
from committee.training.plans.base import Inputs


def example_dataset() -> Dataset:
    """Return eight black images for networks of 8 x 8 pixels, in two classes and two folds."""
    rows = np.arange(8)
    return Dataset(
        name="example",
        fingerprint="example",
        canvases={CanvasSpec(10, "crop", 1): np.zeros((8, 10, 10, 1), np.uint8)},
        labels=rows % 2,
        sample_ids=rows.astype(str),
        class_names=("cat", "dog"),
        splits=np.full(8, "train"),
        folds=rows // 4,
        groups=None,
        fit="crop",
        channels=1,
    )


def example_inputs(*members: str) -> Inputs:
    """Return the inputs of a plan that derives a member from `members`."""
    facts = {member: {"backbone": "timm:test_resnet", "img_size": 8} for member in members}
    sources = dict.fromkeys(members, "digest")
    return Inputs(members, facts, sources, example_dataset(), Store("example_store"), torch.device("cpu"))


def example_arguments(*overrides: str) -> dict[str, Any]:
    """Return the arguments of a plan that trains a backbone; nothing is written to its store.

    Parameters
    ----------
    *overrides : str
        Settings of the recipe, such as `training.epochs=8`.
    """
    settings = ["backbones.include=[timm:test_resnet]", "training.pretrained=false", *overrides]
    (spec,) = load_recipe(None, settings).members()
    store, device = Store("example_store"), torch.device("cpu")
    return {"spec": spec, "dataset": example_dataset(), "store": store, "device": device}


def example_teacher(*members: str) -> Teacher:
    """Return a teacher that averages `members`, which have no fold networks."""
    return Teacher(
        "soft_voting_ensemble",
        "digest",
        Store("example_store"),
        SoftVoting().bind(members),
        dict.fromkeys(members, ("refit",)),
        {"combiner": "soft_voting"},
        None,
        ("cat", "dog"),
    )
