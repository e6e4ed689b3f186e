"""Settings of the images, their splits and their preparation: the section `dataset`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from committee.recipe.section import Section, entry_of, refuse

Reader = entry_of("committee.images.readers")
Task = entry_of("committee.tasks", "auto")
MOST_VALUES = 65535
"""Masks have values from 0 to one less than this."""


def _with_numbers(names: Any) -> Any:
    """Return names of classes with whole numbers as keys, which are texts in JSON."""
    if not isinstance(names, dict):
        return names
    return {
        int(key) if isinstance(key, str) and key.isdecimal() else key: name for key, name in names.items()
    }


class Dataset(Section):
    """The images, their splits, and how they are prepared."""

    path: str | None = Field(
        None,
        description="Folder or file with the images, relative to the current folder, or an address such as "
        "s3://bucket/photos. Null uses the built-in data set `name`, or the data set that the store already "
        "contains.",
    )
    name: str | None = Field(
        None, description="Name of the data set. Without a path, the name of a built-in one, such as digits."
    )
    reader: Reader | None = Field(  # type: ignore[valid-type]
        None, description="Format of the files at path; null detects it."
    )
    task: Task = Field(  # type: ignore[valid-type]
        "auto",
        description="What is predicted: of images, classes (classification) or numbers (regression); of "
        "pixels, classes (segmentation) or numbers (dense_regression). Auto follows from the labels, where "
        "they leave no doubt: masks of whole numbers are classes.",
    )
    targets: list[str] | None = Field(
        None,
        min_length=1,
        description="Columns of the table, or arrays of the .npz file, with the numbers to predict; null "
        "uses the labels. With masks, the names of the numbers of a pixel.",
    )
    units: dict[str, str] = Field({}, description="Unit of targets, by their name, for tables and files.")
    class_names: Annotated[list[str] | dict[int, str] | None, BeforeValidator(_with_numbers)] = Field(
        None,
        description="Classes of masks: a list of the names of the values 0, 1, ..., or a mapping of values "
        "to names, in which several values may be one class. Null reads `classes.txt` or `classes.json` "
        "beside the masks, and otherwise takes the values as names.",
    )
    ignore: float | None = Field(
        None,
        description="Value of pixels of masks without a label. Null is 255 for classes in 8-bit masks, "
        "unless it is a class, and no value otherwise; NaN never is a label.",
    )
    pixels_per_image: int = Field(
        4096,
        ge=1,
        description="Largest number of pixels of an image that combiners are fitted and scored on; there are "
        "at most 2 million in all.",
    )
    keep_maps: Literal["auto", "store", "recompute"] = Field(
        "auto",
        description="Whether fits store their outputs for all pixels of the images that they did not see, or "
        "networks run again where whole images are scored. Auto stores up to 2 GiB for each fit.",
    )
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
    img_size: int = Field(
        224,
        ge=8,
        le=2048,
        description="Side of the square input images in pixels; of the crops for training, with masks.",
    )
    fit: Literal["auto", "crop", "squash", "pad", "native"] = Field(
        "auto",
        description="How images become square: `crop` keeps the central square without a margin of 6.5% on "
        "each side, `squash` keeps the whole image and changes the aspect ratio, `pad` adds black borders. "
        "Auto is squash if all images are square, and crop otherwise; a store keeps what it was at first. "
        "Images with masks keep their size: `native`, which auto is then.",
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

    @model_validator(mode="after")
    def _check_classes(self) -> Dataset:
        names = self.class_names
        if names is None:
            return self
        values = range(len(names)) if isinstance(names, list) else sorted(names)
        listed = names if isinstance(names, list) else list(names.values())
        if len(set(listed)) < 2 or (isinstance(names, list) and len(set(names)) < len(names)):
            raise refuse("different names of at least 2 classes", key="class_names")
        if not 0 <= values[0] <= values[-1] < MOST_VALUES:
            raise refuse(f"values from 0 to {MOST_VALUES - 1}", key="class_names")
        if self.ignore in values:
            raise refuse("a value that is no class", f"Remove {self.ignore:g} from class_names.", "ignore")
        return self

    @property
    def is_named(self) -> bool:
        """Whether the recipe names the images; otherwise the store must contain a data set."""
        return self.path is not None or self.name is not None
