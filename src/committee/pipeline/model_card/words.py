"""What a model card says of its model, by what the model predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from committee.predictions.target_types import CLASS_MAPS, CLASSES, NUMBER_MAPS, NUMBERS


@dataclass(frozen=True)
class Words:
    """The texts of a card that depend on what a model predicts.

    Attributes
    ----------
    tag : str
        The task, as tags of the Hugging Face hub name it.
    what : str
        What the model is, with `{count}` outputs.
    line : str
        What `predict.py` writes and prints for a photo.
    shape : str
        The shape of the output of the model after the batch, with `{count}` outputs.
    names : str
        What `class_names.json` contains.
    meaning : str
        What the output of the model is.
    difference : str
        How the file differs from the model in PyTorch, before the size of the difference.
    relative : str
        The unit of this difference.
    heading : str
        Heading of the list of outputs.
    are_classes : bool
        Whether outputs have labels in Triton, and prediction sets.
    """

    tag: str
    what: str
    line: str
    shape: str
    names: str
    meaning: str
    difference: str
    relative: str
    heading: str
    are_classes: bool


WORDS: Mapping[str, Words] = {
    CLASSES.name: Words(
        "image-classification",
        "An image classifier of {count} classes",
        "its class and all probabilities",
        "{count}",
        "the classes, in the order of the probabilities",
        "which sum to one",
        "the probabilities of this file differ from it by at most",
        "",
        "Classes",
        True,
    ),
    NUMBERS.name: Words(
        "image-regression",
        "A model that predicts numbers from images ({count})",
        "the value of each target",
        "{count}",
        "the targets, in the order of the values",
        "the number of each target in its unit",
        "the values of this file differ from it by at most",
        " of their size",
        "Targets",
        False,
    ),
    CLASS_MAPS.name: Words(
        "image-segmentation",
        "A model of the class of each pixel ({count} classes)",
        "the mean probability of each class, and the mask is written to `masks/`",
        "{count}, height, width",
        "the classes, in the order of the probabilities and of the indices in masks",
        "which sum to one for each pixel",
        "the probabilities of the pixels of this file differ from it by at most",
        "",
        "Classes",
        False,
    ),
    NUMBER_MAPS.name: Words(
        "image-to-image",
        "A model that predicts numbers for each pixel of an image ({count})",
        "the mean of each target, and the numbers are written to `values/`",
        "{count}, height, width",
        "the targets, in the order of the values",
        "the number of each target in its unit, for each pixel",
        "the values of the pixels of this file differ from it by at most",
        " of their size",
        "Targets",
        False,
    ),
}
