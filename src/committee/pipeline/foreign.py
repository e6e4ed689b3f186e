"""Networks that were trained elsewhere: what a user says about one, and what its adoption found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"
EMA = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
"""Keys of a moving average of the weights in a checkpoint."""


@dataclass(frozen=True)
class Foreign:
    """A network that was trained elsewhere, as the user describes it.

    Parameters
    ----------
    name : str
        The name of the new member.
    backbone : str
        The architecture.
    weights : Path or None
        The checkpoint: a `.safetensors` file, or a `.pt`, `.pth`, `.ckpt` or `.bin` file of torch. None if
        there are networks of folds alone.
    classes : Path or sequence of str
        Names of classes or targets in the order of the outputs, or a file of them: one per line, a JSON
        list, or `{"0": name}`.
    size : int, optional
        The side of the input in pixels; by default, that of the recipe.
    mean, std : sequence of float, optional
        Mean and standard deviation of the channels in training, from 0 to 1; by default, those of the
        backbone.
    seen : str
        The images that the network may have been trained on: `none`, `train`, `all`, a file of ids, or
        `unknown`, which counts as `all`.
    fresh : str, optional
        Images that the network was not trained on, even if they are among `seen`: `train`, `val`, `test`, or
        a file of ids.
    ema : bool
        Whether to use the moving average of the weights, if the checkpoint contains both.
    folds : mapping of int to Path
        The checkpoint of the network of each fold. Without `weights`, the member is the mean of their
        probabilities or numbers.
    held_out : mapping of str to int
        Id of an image -> the fold whose network was not trained on it, while those of the other folds were.
        That network predicts it among the training images. If `seen` is `unknown` and this names all
        training images, other images count as not seen.
    shift, scale : sequence of float
        Mean and standard deviation of each target, if the network returns standardized numbers; none if it
        returns numbers in their units.

    See Also
    --------
    committee.pipeline.adopt.adopt : Add the network to a store.
    """

    name: str
    backbone: str
    weights: Path | None
    classes: Path | Sequence[str]
    size: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    seen: str = UNKNOWN
    fresh: str | None = None
    ema: bool = False
    folds: Mapping[int, Path] = field(default_factory=dict)
    held_out: Mapping[str, int] = field(default_factory=dict)
    shift: Sequence[float] = ()
    scale: Sequence[float] = ()


@dataclass
class Adopted:
    """The result of an adoption.

    Attributes
    ----------
    name : str
        The name of the member.
    view : dict
        The preprocessing: size, mean, std, fit and channels.
    prefix : str
        The prefix of the names of all tensors in the checkpoint.
    reordered : bool
        Whether the classes of the network are in another order than those of the data set.
    rows, fresh : dict of str to int
        Split -> number of images, and of images that the network was not trained on.
    agrees : dict of str to float
        Accuracy (of numbers, root mean squared error) on training images: on `fresh` ones, and on those that
        it may have `seen`.
    state : str
        `adopted`, `adopted already`, or `would be adopted`.

    See Also
    --------
    committee.pipeline.adopt.adopt : Return this result.
    """

    name: str
    view: dict[str, Any]
    prefix: str
    reordered: bool
    rows: dict[str, int]
    fresh: dict[str, int]
    agrees: dict[str, float] = field(default_factory=dict)
    state: str = "would be adopted"
