"""What a bundle says of its model, by what the model predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from committee.predictions.target_types import CLASSES, NUMBERS


@dataclass(frozen=True)
class Words:
    """The texts of a bundle that differ between models of classes and of numbers.

    Attributes
    ----------
    tag : str
        The task, as tags of the Hugging Face hub name it.
    what : str
        What the model is, with `{count}` outputs.
    line : str
        What `predict.py` prints for a photo.
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
        "the targets, in the order of the values",
        "the number of each target in its unit",
        "the values of this file differ from it by at most",
        " of their size",
        "Targets",
        False,
    ),
}
