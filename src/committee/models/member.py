"""Members: networks with their preprocessing, the names of their outputs, and provenance."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.backbones.base import AS_IS, IMAGENET_MEAN, IMAGENET_STD, Backbone, find_head
from committee.backbones.build import build
from committee.backbones.inspection import inspect
from committee.backbones.outputs import scaled
from committee.backbones.weights import require_finite
from committee.base.arguments import name_of
from committee.errors import DataError, UsageError
from committee.images.as_given import AsGiven, view_of
from committee.images.decode import Source
from committee.images.view import Fit, View
from committee.models._images import check_images
from committee.models.batch import Batch
from committee.models.descriptions import MEMBER as DESCRIPTION
from committee.models.descriptions import read_description, write_description
from committee.models.moments import OfNetwork
from committee.models.optimized import Optimized
from committee.models.padded import maps_of
from committee.models.planner import TOLERANCE, optimize
from committee.models.prediction import predict
from committee.models.stored_network import load_network
from committee.models.tasks import NamedOutputs, checked_units, outputs_of, task_and_names
from committee.store.disk import folder_of, writes_folder
from committee.tasks.base import TASKS, Task, task_of_model
from committee.untrusted.documents import build as build_from

PROTOCOL = 1
LARGEST_SIDE = 2**13
"""Largest side of the input of a stored network in pixels."""
WEIGHTS = "weights.safetensors"


class Member(OfNetwork, NamedOutputs, nn.Module):
    """A network with its preprocessing, from images of any size to logits or numbers.

    Parameters
    ----------
    network : Backbone
        A module from normalized images, float32 `[B, c, size, size]`, to logits `[B, C]`, or to numbers
        `[B, T]` in the units of the targets (`Backbone.output` has their shift and scale). With a task of
        maps, from `[B, c, H, W]`, with height and width that are multiples of `Backbone.stride`, to
        `[B, C, H, W]`.
    view : View
        The preprocessing: a module from images, uint8 `[B, c, H, W]`, to normalized images.
    class_names : sequence of str
        Names of the classes, in the order of the logits; or of the targets, which are also `target_names`.
    name : str
        Name of the member; a slug that is unique in an ensemble.
    provenance : mapping, optional
        Origin of the member, as plain JSON values, which are saved with the weights.
    normalized : bool
        Whether images of a floating type are the input of the network: float `[B, c, size, size]`, normalized
        already, as the loaders of training scripts yield them. By default they are refused. Images of type
        uint8 are always preprocessed by `view`.
    task : Task or str, optional
        What is predicted, or its name, such as `regression`; classification by default.
    units : sequence of str, optional
        Unit of each target.

    See Also
    --------
    Ensemble : A combination of members.
    committee.load_model : Load a model of a store.

    Examples
    --------
    >>> import torch
    >>> from committee.models import Member
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    >>> member = Member.from_module(net, classes=["cat", "dog"], size=8, name="linear").eval()
    >>> images = torch.randint(0, 256, (4, 3, 20, 30), dtype=torch.uint8)
    >>> member(images).shape, member.predict(images).shape
    (torch.Size([4, 2]), (4, 2))

    A network that predicts numbers:

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 1))
    >>> member = Member.from_module(net, targets=["age"], units=["years"], size=8).eval()
    >>> member.task.key, member.predict(images).shape
    ('regression', (4, 1))

    A network of vectors:

    >>> member = Member.from_module(torch.nn.Linear(5, 3), classes=["a", "b", "c"], shape=[5])
    >>> member.predict(torch.zeros(2, 5)).shape
    (2, 3)
    """

    takes_batches = True

    def __init__(
        self,
        network: Backbone,
        view: View,
        class_names: Sequence[str],
        name: str = "member",
        provenance: Mapping[str, Any] | None = None,
        normalized: bool = False,
        task: Task | str | None = None,
        units: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.network, self.view, self.normalized = network, view, normalized
        self.class_names = tuple(map(str, class_names))
        self.task = TASKS.make(task) if isinstance(task, str) else task or task_of_model(None)
        self.units = checked_units(units, self.class_names, name)
        self.name = name
        self.provenance = dict(provenance or {})

    @classmethod
    def build(
        cls,
        backbone: str,
        *,
        classes: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        task: Task | str | None = None,
        units: Sequence[str] = (),
        shift: Sequence[float] = (),
        scale: Sequence[float] = (),
        variance: bool = False,
        size: int = 224,
        channels: int = 3,
        fit: Fit = "crop",
        pretrained: bool | str | Path = False,
        name: str | None = None,
        trusted: bool = False,
        seed: int | None = None,
        output_stride: int | None = None,
    ) -> Self:
        """Build an untrained member from the name of its backbone.

        Parameters
        ----------
        backbone : str
            A name that `committee.backbones.build.build` accepts. `pretrained`, `trusted` and `seed` are its
            arguments too.
        classes, targets : sequence of str
            Names of the classes, in the order of the logits, or of the targets: one of the two.
        task : Task or str, optional
            What is predicted; by default classification of `classes`, or regression of `targets`.
        units : sequence of str, optional
            Unit of each target.
        shift, scale : sequence of float, optional
            Mean and standard deviation of each target, if the network predicts standardized numbers.
        variance : bool
            Whether the network also predicts the variance of each number: it has two outputs for each target.
        size : int
            Side length of the input of the network in pixels.
        channels : {1, 3}
            Number of color channels.
        fit : {"crop", "squash", "pad"}
            How an image is made square.
        pretrained : bool, str or Path
            Whether to load published weights, or the file with the weights.
        name : str, optional
            Name of the member; by default that of the backbone without its source.
        trusted : bool
            Whether a `python:` builder may be imported.
        seed : int, optional
            Seed of the initial weights.
        output_stride : int, optional
            With a task of maps: the factor by which the features are smaller than the image at which the
            backbone is cut; see `committee.backbones.build.build`.
        """
        name = name or name_of("backbone", backbone).rpartition(":")[2].rpartition("/")[2]
        task, names = task_and_names(task, classes, targets, name)
        network = build(
            backbone,
            outputs_of(names, task, variance, name),
            channels=channels,
            img_size=size,
            pretrained=pretrained,
            trusted=trusted,
            seed=seed,
            logits=task.logits,
            maps=task.target_type.dense,
            output_stride=output_stride,
        )
        network.output = replace(scaled(network.output, shift, scale, names, name), variance=variance)
        fit = "native" if task.target_type.dense else fit
        view = View(size, network.mean, network.std, fit, channels)
        return cls(network, view, names, name, task=task, units=units)

    @classmethod
    def from_module(
        cls,
        net: nn.Module,
        *,
        classes: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        task: Task | str | None = None,
        units: Sequence[str] = (),
        shift: Sequence[float] = (),
        scale: Sequence[float] = (),
        variance: bool = False,
        size: int | None = None,
        shape: Sequence[int] | None = None,
        mean: float | Sequence[float] = IMAGENET_MEAN,
        std: float | Sequence[float] = IMAGENET_STD,
        fit: Fit = "crop",
        channels: int = 3,
        name: str = "member",
        normalized: bool = False,
    ) -> Self:
        """Create a member from any network.

        Parameters
        ----------
        net : nn.Module
            A module from float32 images `[B, channels, size, size]`, normalized by `mean` and `std`, or from
            float32 inputs `[B, *shape]`, to logits `[B, C]` or `[B, C, 1, 1]`, alone or as `logits` of a
            mapping or an object. Of other mappings, lists and tuples, the only value of this shape is used.
            If the network ends in a softmax or a sigmoid, the logarithm of its output is used. It is run
            once, on random inputs, to find out. With `targets`, it returns numbers `[B, T]`, which are used
            as they are.
        classes, targets : sequence of str
            Names of the classes, in the order of the logits, or of the targets: one of the two.
        task : Task or str, optional
            What is predicted; by default classification of `classes`, or regression of `targets`.
        units : sequence of str, optional
            Unit of each target.
        shift, scale : sequence of float, optional
            Mean and standard deviation of each target, if the network predicts standardized numbers.
        variance : bool
            Whether the network returns numbers `[B, 2T]`: one for each target, then one for the variance of
            each, of which the softplus is the variance, in units of the squared scale.
        size : int, optional
            Side length of the input of the network in pixels.
        shape : sequence of int, optional
            In place of `size`, for a network of anything but square images: the shape of one input, such as
            `[64]` for vectors. Inputs are of a floating type, and are given to the network as they are.
        mean, std : float or sequence of float
            Mean and standard deviation of the channels, for pixel values from 0 to 1, as in the training of
            the network; those of ImageNet by default.
        fit : {"crop", "squash", "pad"}
            How an image is made square.
        channels : int
            Number of channels: 1 or 3 for images from files, any number for tensors.
        name : str
            Name of the member.
        normalized : bool
            Whether images of a floating type are normalized already; see `Member`.

        Raises
        ------
        UsageError
            The network does not take such images, or several or no values that it returns can be the logits.
        DataError
            Weights, or what the network returns, contain NaN or infinity.
        """
        if not isinstance(net, nn.Module):
            raise UsageError(name, expected="a network, an nn.Module", got=f"{net!r:.60}")
        task, names = task_and_names(task, classes, targets, name)
        dense = task.target_type.dense
        view: View
        if size is not None and shape is None:
            view, shape = View(size, mean, std, "native" if dense else fit, channels), (channels, size, size)
        elif shape is not None and size is None:
            view, normalized = AsGiven(shape), True
        else:
            raise UsageError(
                name,
                expected="the size of square images, or the shape of an input",
                got="neither" if size is None else "both",
                todo="Pass size=... or shape=[...].",
            )
        require_finite(dict(net.named_parameters()), name)
        outputs = outputs_of(names, task, variance, name)
        if isinstance(net, Backbone):
            network = net
        else:
            output = inspect(net, outputs, shape, name, logits=task.logits, maps=dense)
            network = Backbone(net, find_head(net, outputs), output=output)
        network.output = replace(scaled(network.output, shift, scale, names, name), variance=variance)
        return cls(network, view, names, name, normalized=normalized, task=task, units=units)

    def forward(self, images: Tensor | Batch) -> Tensor:
        """Return logits or numbers, float `[B, C]`, for images, uint8 `[B, c, H, W]` of any height and width.

        With a task of maps, the result is `[B, C, H, W]`. With `normalized=True`, images of a floating type
        are given to the network as they are.
        """
        logits = self.network_outputs(images)
        return logits[..., 0] if self.has_variance else logits

    def network_outputs(self, images: Tensor | Batch) -> Tensor:
        """Return what the network predicts: logits or numbers, or numbers and their variances `[B, T, 2]`."""
        pixels = self._input(Batch.of(images))
        logits = maps_of(self.network, pixels) if self.task.target_type.dense else self.network(pixels)
        if logits.shape[1] != len(self.class_names):
            raise DataError(
                self.name,
                expected=f"a network with {len(self.class_names)} outputs, one for each "
                f"{self.task.target_type.output}",
                got=str(logits.shape[1]),
                todo=f"Name all of its {self.task.target_type.outputs}.",
            )
        return logits

    def embed(self, images: Tensor | Batch) -> Tensor:
        """Return the embeddings of images, float `[B, D]`: the input of the last layer of the network."""
        return self.network.embed(self._input(Batch.of(images)))

    def _input(self, batch: Batch) -> Tensor:
        """Return the input of the network, float `[B, c, size, size]`."""
        check_images(self.name, self.view, batch.source, self.normalized)
        if not batch.source.is_floating_point():
            return batch.normalized(self.view)
        return batch.images.float() if batch.source.dtype == torch.float64 else batch.images

    def predict(
        self, images: Tensor | NDArray[np.uint8] | Sequence[Source], batch_size: int = 32, **tiles: Any
    ) -> Any:
        """Return probabilities, or numbers, float32 `[N, C]`, of images; see the function `predict`."""
        return predict(self, images, batch_size, **tiles)

    def optimize(
        self, example: Any, budget_s: float = 30.0, tolerance: float = TOLERANCE, **options: Any
    ) -> Optimized:
        """Return the model on the fastest engine; see `committee.models.planner.optimize`."""
        return optimize(self, example, budget_s, tolerance, **options)

    @writes_folder
    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` and `member.json` into `folder`."""
        safetensors.torch.save_model(self.network.net, str(folder / WEIGHTS))
        architecture = self.network.architecture
        description = {
            "protocol": PROTOCOL,
            "name": self.name,
            "class_names": list(self.class_names),
            "architecture": architecture.to_json() if architecture else None,
            "view": self.view.options(),
            "provenance": self.provenance,
        }
        if self.task.key != task_of_model(None).key:
            description["task"] = self.task.key
        if self.units:
            description["units"] = list(self.units)
        if self.network.output != AS_IS:
            description["output"] = self.network.output.to_json()
        if self.network.shapes:
            description["shapes"] = self.network.shapes
        if self.normalized:
            description["normalized"] = True
        write_description(folder / DESCRIPTION, description)

    @classmethod
    def load(
        cls, folder: Path | str, *, trusted: bool | Collection[str] = False, net: nn.Module | None = None
    ) -> Self:
        """Load a member that `save` wrote, in evaluation mode; nothing is unpickled.

        Parameters
        ----------
        folder : Path or str
            The folder.
        trusted : bool or collection of str
            Whether a `python:` builder may be imported, or the names of those that may.
        net : nn.Module, optional
            The architecture of a member that was created by `from_module`. Its weights are overwritten.

        Raises
        ------
        StoreError
            The folder does not contain a member, or a file is damaged.
        UsageError
            The architecture is needed, or its builder is not trusted.
        """
        folder = folder_of(folder)
        description = read_description(folder / DESCRIPTION, "a member", PROTOCOL)

        def rebuild() -> Any:
            classes, view = description["class_names"], view_of(description["view"])
            if not (isinstance(view, AsGiven) or 0 < view.size <= LARGEST_SIDE):
                raise ValueError(f"an input of {view.size} pixels")
            network = load_network(description, view, folder / WEIGHTS, trusted, net)
            name, provenance = str(description["name"]), description["provenance"]
            normalized = description.get("normalized") is True
            task = TASKS.make(description.get("task", task_of_model(None).key))
            units = description.get("units", ())
            return cls(network, view, classes, name, provenance, normalized, task, units).eval()

        return build_from(rebuild, folder / DESCRIPTION, "the description of a member")
