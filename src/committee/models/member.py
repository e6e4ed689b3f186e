"""A member: a trained network with its own view of a photo, its classes and where it comes from."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.backbones.base import IMAGENET_MEAN, IMAGENET_STD, Architecture, Backbone, find_head
from committee.backbones.build import build, build_architecture
from committee.errors import DataError, StoreError, UsageError
from committee.images.decode import Source, decode
from committee.images.view import Fit, View
from committee.untrusted.documents import build as build_from
from committee.untrusted.documents import read_json
from committee.untrusted.safetensors_header import read_header

PROTOCOL = 1
WEIGHTS, DESCRIPTION = "weights.safetensors", "member.json"


class Member(nn.Module):
    """A network with its preprocessing inside: photos in, logits out.

    Parameters
    ----------
    network : Backbone
        From normalized images to logits.
    view : View
        From photos to normalized images.
    class_names : sequence of str
        Name of each logit.
    name : str
        A slug, unique in an ensemble.
    provenance : mapping, optional
        Where it comes from: plain JSON values, kept with the weights.
    """

    def __init__(
        self,
        network: Backbone,
        view: View,
        class_names: Sequence[str],
        name: str = "member",
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.view = network, view
        self.class_names = tuple(map(str, class_names))
        self.name = name
        self.provenance = dict(provenance or {})

    @classmethod
    def build(
        cls,
        backbone: str,
        *,
        classes: Sequence[str],
        size: int = 224,
        channels: int = 3,
        fit: Fit = "crop",
        pretrained: bool | str | Path = False,
        name: str | None = None,
        trusted: bool = False,
        seed: int | None = None,
    ) -> Self:
        """Build an untrained member by the name of its backbone.

        Parameters
        ----------
        backbone : str
            Any name that `committee.backbones.build.build` takes; its `pretrained`, `trusted`, `seed` too.
        classes : sequence of str
            Class names, in the order of the logits.
        size : int
            Side of the network's input in pixels.
        channels : int
            1 or 3.
        fit : {"crop", "squash", "pad"}
            How a photo becomes a square.
        name : str, optional
            Left out: the backbone's name without its source.
        """
        network = build(
            backbone,
            len(classes),
            channels=channels,
            img_size=size,
            pretrained=pretrained,
            trusted=trusted,
            seed=seed,
        )
        view = View(size, network.mean, network.std, fit, channels)
        return cls(network, view, classes, name or backbone.rpartition(":")[2].rpartition("/")[2])

    @classmethod
    def from_module(
        cls,
        net: nn.Module,
        *,
        classes: Sequence[str],
        size: int,
        mean: float | Sequence[float] = IMAGENET_MEAN,
        std: float | Sequence[float] = IMAGENET_STD,
        fit: Fit = "crop",
        channels: int = 3,
        name: str = "member",
    ) -> Self:
        """Make a member of a network that you have.

        Parameters
        ----------
        net : nn.Module
            From float images `[B, channels, size, size]`, scaled by `mean` and `std`, to logits `[B, C]`.
        classes : sequence of str
            Class names, in the order of its logits.
        size : int
            Side of its input in pixels.
        mean, std : float or sequence of float
            Of the channels in 0..1, as in its training; ImageNet's by default.
        fit : {"crop", "squash", "pad"}
            How a photo becomes a square.
        channels : int
            1 or 3.
        name : str
            Its name in ensembles and tables.
        """
        network = net if isinstance(net, Backbone) else Backbone(net, find_head(net, len(classes)))
        return cls(network, View(size, mean, std, fit, channels), classes, name)

    def forward(self, images: Tensor) -> Tensor:
        """Turn photos, uint8 `[B, c, H, W]` of any height and width, into logits `[B, C]`."""
        logits = self.network(self.view(images))
        if logits.shape[1] != len(self.class_names):
            raise DataError(
                self.name,
                expected=f"a network with {len(self.class_names)} outputs, one a class",
                got=str(logits.shape[1]),
                todo="Name all of its classes.",
            )
        return logits

    def embed(self, images: Tensor) -> Tensor:
        """Return the embedding of photos, `[B, D]`: what enters the network's last layer."""
        return self.network.embed(self.view(images))

    def predict(
        self, images: Tensor | NDArray[np.uint8] | Sequence[Source], batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Return probabilities `[N, C]` of photos: a uint8 batch, or paths, PIL images and arrays."""
        return predict(self, images, batch_size)

    def save(self, folder: Path | str) -> None:
        """Write `weights.safetensors` and `member.json` into `folder`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
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
        text = json.dumps(description, indent=1, ensure_ascii=False)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(
        cls, folder: Path | str, *, trusted: bool | Collection[str] = False, net: nn.Module | None = None
    ) -> Self:
        """Read what `save` wrote, in evaluation mode; nothing is unpickled.

        Parameters
        ----------
        folder : Path or str
            Where it was saved.
        trusted : bool or collection of str
            Whether a `python:` builder may be imported, or the names of those that may.
        net : nn.Module, optional
            The architecture, for a member that `from_module` made: its weights are overwritten.

        Raises
        ------
        StoreError
            The folder holds no member, or a damaged one.
        UsageError
            The architecture is needed, or its builder is not trusted.
        """
        folder = Path(folder)
        description = read_description(folder / DESCRIPTION, "a member", PROTOCOL)

        def rebuild() -> Any:
            classes, view = description["class_names"], View(**description["view"])
            network = _network(description, view, len(classes), trusted, net)
            _load_weights(network.net, folder / WEIGHTS, str(description["name"]))
            return cls(network, view, classes, str(description["name"]), description["provenance"]).eval()

        return build_from(rebuild, folder / DESCRIPTION, "the description of a member")


def _load_weights(net: nn.Module, path: Path, name: str) -> None:
    try:
        read_header(path)
        safetensors.torch.load_model(net, str(path))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise StoreError(
            str(path),
            expected=f"the weights of {name}",
            got=str(error).splitlines()[0],
            todo="Train or save the member again.",
        ) from error


def read_description(path: Path, what: str, protocol: int) -> dict[str, Any]:
    """Read the JSON that describes a saved member or ensemble.

    Raises
    ------
    StoreError
        It is not there, damaged, or of another protocol.
    """
    description = read_json(path, f"the description of {what}", "Name a folder that its save method wrote.")
    if description.get("protocol") != protocol:
        raise StoreError(
            str(path),
            expected=f"protocol {protocol}",
            got=str(description.get("protocol")),
            todo="Read it with the version of committee that wrote it.",
        )
    return description


def slugs(names: Sequence[str]) -> list[str]:
    """Return names that are safe as folders, equal ones numbered: `a`, `a_2`; case makes no difference."""
    made: list[str] = []
    for name in names:
        slug = re.sub(r"[^\w.-]+", "_", name).strip(".") or "member"
        taken = {other.lower() for other in made}
        numbered = (slug if index == 1 else f"{slug}_{index}" for index in itertools.count(1))
        made.append(next(option for option in numbered if option.lower() not in taken))
    return made


@torch.inference_mode()
def predict(
    module: nn.Module, images: Tensor | NDArray[np.uint8] | Sequence[Source], batch_size: int = 32
) -> NDArray[np.float32]:
    """Return the probabilities that a module gives to photos.

    Parameters
    ----------
    module : nn.Module
        From photos to logits; put in evaluation mode.
    images : uint8 `[N, c, H, W]`, or sequence of paths, PIL images, bytes of files, or arrays `[H, W, c]`
        Those of a sequence may differ in size.
    batch_size : int
        Photos of one size that go through together.

    Returns
    -------
    float32 array `[N, C]`
    """
    module.eval()
    device = next((tensor.device for tensor in module.parameters()), torch.device("cpu"))
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(images)
    batches = images.split(batch_size) if isinstance(images, Tensor) else _batches(module, images, batch_size)
    answer_of = getattr(module, "infer", module)
    answers = [answer_of(batch.to(device)).float().softmax(1).cpu() for batch in batches]
    if not answers:
        raise UsageError("predict", expected="at least one image", got="none")
    return np.asarray(torch.cat(answers).numpy(), dtype=np.float32)


def _batches(module: nn.Module, images: Sequence[Source], batch_size: int) -> Iterator[Tensor]:
    channels = next((part.channels for part in module.modules() if isinstance(part, View)), 3)
    decoded = (torch.from_numpy(decode(image, channels)) for image in images)
    for _, alike in itertools.groupby(decoded, key=lambda image: image.shape):
        while batch := list(itertools.islice(alike, batch_size)):
            yield torch.stack(batch)


def _network(
    description: Mapping[str, Any],
    view: View,
    classes: int,
    trusted: bool | Collection[str],
    net: nn.Module | None,
) -> Backbone:
    if net is not None:
        return net if isinstance(net, Backbone) else Backbone(net, find_head(net, classes))
    if description["architecture"] is None:
        raise UsageError(
            description["name"],
            expected="the network it was made from",
            got="none",
            todo="Pass one of the same architecture: Member.load(folder, net=...).",
        )
    architecture = Architecture.from_json(description["architecture"])
    named = trusted if isinstance(trusted, bool) else f"python:{architecture.key}" in trusted
    return build_architecture(
        architecture, classes, channels=view.channels, img_size=view.size, trusted=named, seed=0
    )
