"""Settings of the images, their splits and their preparation: the section `dataset`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from committee.recipe.section import Section, entry_of, refuse

Reader = entry_of("committee.images.readers")
Task = entry_of("committee.tasks", "auto")


class Dataset(Section):
    """The images, their splits, and how they are prepared."""

    path: str | None = Field(
        None,
        description="Folder or file with the images, relative to the current folder. Null uses the built-in "
        "data set `name`, or the data set that the store already contains.",
    )
    name: str | None = Field(
        None, description="Name of the data set. Without a path, the name of a built-in one, such as digits."
    )
    reader: Reader | None = Field(  # type: ignore[valid-type]
        None, description="Format of the files at path; null detects it."
    )
    task: Task = Field(  # type: ignore[valid-type]
        "auto",
        description="What is predicted: classes (classification) or numbers (regression). Auto follows from "
        "the labels, where they leave no doubt.",
    )
    targets: list[str] | None = Field(
        None,
        min_length=1,
        description="Columns of the table, or arrays of the .npz file, with the numbers to predict; null "
        "uses the labels.",
    )
    units: dict[str, str] = Field({}, description="Unit of targets, by their name, for tables and files.")
    test_size: float = Field(
        0.2, gt=0, lt=1, description="Fraction of the rows held out as test split if the data has none."
    )
    val: Literal["join", "apart"] = Field(
        "join",
        description="Use of a val split in the data: `join` adds it to the training rows, `apart` holds it "
        "out to fit combiners on.",
    )
    val_size: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Fraction of the training rows held out as val split if the data has none; greedy soups "
        "are selected on it. Null holds out no rows with cross-validation, and test_size without: ensembles "
        "are then fitted on it, and early stopping uses half of it.",
    )
    fold_column: str | None = Field(
        None,
        description="Column that assigns each row to a fold; null uses the column `fold` if it exists.",
    )
    group_column: str | None = Field(
        None,
        description="Column with the group of each row; rows of one group stay in the same fold and split. "
        "Null uses the column `group` if it exists.",
    )
    n_classes: int | None = Field(
        None, ge=2, description="Expected number of classes; a warning reports another number in the data."
    )
    channels: Literal[1, 3] = Field(
        3, description="Number of channels of the images: 1 for grayscale, 3 for color."
    )
    img_size: int = Field(224, ge=8, le=2048, description="Side of the square input images in pixels.")
    fit: Literal["auto", "crop", "squash", "pad"] = Field(
        "auto",
        description="How images become square: `crop` keeps the central square without a margin of 6.5% on "
        "each side, `squash` keeps the whole image and changes the aspect ratio, `pad` adds black borders. "
        "Auto is squash if all images are square, and crop otherwise; a store keeps what it was at first.",
    )
    batch_size: int = Field(32, ge=1, description="Number of images in a batch.")
    num_workers: int = Field(
        4,
        ge=0,
        description="Number of processes that decode the image files, which happens once; 0 decodes in the "
        "main process.",
    )
    max_broken: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Largest fraction of images that may be unreadable. They are left out; a single one "
        "stops the run only if this is 0.",
    )
    duplicates: Literal["error", "drop"] = Field(
        "error",
        description="What to do if the training split shares images with the test or val split of the data: "
        "`error` stops the run, `drop` removes them from the training split.",
    )

    @model_validator(mode="after")
    def _check_targets_differ(self) -> Dataset:
        names = self.targets or []
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise refuse("targets that differ", f"'{twice}' is there twice.", "targets")
        return self

    @property
    def is_named(self) -> bool:
        """Whether the recipe names the images; otherwise the store must contain a data set."""
        return self.path is not None or self.name is not None
