"""Where the images come from and how they are prepared: the keys of `dataset`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from committee.recipe.section import Section, entry_of

Reader = entry_of("committee.images.readers")


class Dataset(Section):
    """The images, their splits, and how they become batches."""

    path: str | None = Field(
        None,
        description="Folder or file with the images, seen from the current folder; null with a "
        "built-in name, or on a store that has its data set already.",
    )
    name: str | None = Field(
        None, description="Name of the data set; without a path, one that is built in, such as digits."
    )
    reader: Reader | None = Field(None, description="How to read the path; null finds out.")  # type: ignore[valid-type]
    test_size: float = Field(
        0.2, gt=0, lt=1, description="Share of rows held out for the test where the data has no test split."
    )
    val: Literal["join", "apart"] = Field(
        "join",
        description="A val split joins the training rows, or stays apart to fit combiners on.",
    )
    val_size: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of the training rows kept apart as a val split where there is "
        "none, before folds are dealt: what greedy soups are chosen on; null keeps none apart with folds, "
        "and test_size without.",
    )
    fold_column: str | None = Field(
        None, description="Column with a fold of your own for each row; null is `fold` if there."
    )
    group_column: str | None = Field(
        None,
        description="Column whose equal values stay in one fold and split; null is `group` if there.",
    )
    n_classes: int | None = Field(
        None, ge=2, description="How many classes you expect; another number in the data is reported."
    )
    channels: Literal[1, 3] = Field(3, description="1 for gray images, 3 for color.")
    img_size: int = Field(224, ge=8, le=2048, description="Side of the square images that members see.")
    fit: Literal["crop", "squash", "pad"] = Field(
        "crop", description="How an oblong image becomes square: cut its ends, change its shape, or pad it."
    )
    batch_size: int = Field(32, ge=1, description="Images in a batch.")
    num_workers: int = Field(
        4, ge=0, description="Processes that decode images, once; 0 decodes in the one that runs."
    )
    max_broken: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Largest share of images that may be broken and left out; one alone "
        "stops a run only where this is 0.",
    )
    duplicates: Literal["error", "drop"] = Field(
        "error",
        description="What to do where train shares images with your test or val split: stop, or "
        "drop them from train.",
    )

    @property
    def is_named(self) -> bool:
        """Whether the recipe says where the images are; if not, the store must know."""
        return self.path is not None or self.name is not None
