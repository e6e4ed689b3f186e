"""Building of backbones by name: presets, torchvision, timm, smp, the hub, and Python builders."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch

from committee.backbones.base import SOURCES, Architecture, Backbone, Source, no_published
from committee.backbones.cutting import dry_run, multiple_of
from committee.backbones.inspection import inspect
from committee.backbones.outputs import Output
from committee.backbones.presets import MAP_PRESETS, PRESETS
from committee.backbones.upsample import AUTO, HEAD, Upsampled, no_features, require_sides
from committee.backbones.weights import load_weights, read_weights, strip_prefixes
from committee.errors import CommitteeError, TrainingError, UnknownNameError, UsageError, nearest


def resolve(name: str) -> Architecture:
    """Return the architecture called `name`, without fetching weights or importing builders.

    A name without source is looked up among the presets, then in the sources with a `search_order`:
    torchvision, then timm.

    Raises
    ------
    UnknownNameError
        There is no backbone of this name; the message contains the most similar one.

    Examples
    --------
    >>> from committee.backbones.build import resolve
    >>> resolve("resnet18").name
    'torchvision:resnet18'
    """
    prefix, colon, key = name.partition(":")
    if colon:
        return _prefixed(name, prefix, key)
    if name in PRESETS:
        timm_name, options = PRESETS[name]
        return Architecture(name, "timm", timm_name, options)
    if name in MAP_PRESETS:
        return replace(resolve(MAP_PRESETS[name]), name=name)
    searched = _searched()
    for source in searched:
        if SOURCES.make(source).has(name):
            return Architecture(f"{source}:{name}", source, name)
    known = [*PRESETS, *MAP_PRESETS, *(each for source in searched for each in SOURCES.make(source).names())]
    raise UnknownNameError(
        "backbone",
        expected=f"a preset or a name of {' or '.join(searched)}",
        got=f"'{name}'",
        todo=nearest(name, known),
    )


def _searched() -> list[str]:
    """Return the sources in which a name without prefix is looked up, in their order."""
    orders = {source: SOURCES.load(source).search_order for source in SOURCES.names()}
    found = {source: order for source, order in orders.items() if order is not None}
    return sorted(found, key=lambda source: (found[source], source))


def build(
    name: str,
    outputs: int,
    *,
    channels: int = 3,
    img_size: int = 224,
    pretrained: bool | str | Path = False,
    trusted: bool = False,
    seed: int | None = None,
    logits: bool = True,
    maps: bool = False,
    output_stride: int | None = None,
) -> Backbone:
    """Build a backbone by name.

    A network of maps is made of the layers of a network of classes up to an output stride, and a head that
    upsamples their features to the size of the images (`committee.backbones.upsample`).

    Parameters
    ----------
    name : str
        `timm:NAME`, `torchvision:NAME`, `hf-hub:OWNER/NAME`, `python:package.module:builder`, a preset, or
        a name without source. Of networks of maps alone: `smp:DECODER/ENCODER`, those of torchvision such as
        `torchvision:fcn_resnet50`, and `CustomResidualDeconv`.
    outputs : int
        Number of classes, or of targets.
    channels : int
        Number of channels of the images, 1 or 3.
    img_size : int
        Side of the input images in pixels; of maps, of those it is trained on.
    pretrained : bool, str or Path
        Published weights (true), random weights (false), or the path of a weights file. A head with another
        number of classes is initialized randomly.
    trusted : bool
        Whether a `python:` builder may be imported. True if the recipe of this run contains it.
    seed : int, optional
        Seed of random weights; torch's global generator is then not used. If omitted, it is.
    logits : bool
        Whether the network shall return logits. If not, what a `python:` builder returns is used as it is.
    maps : bool
        Whether the network shall return maps `[B, outputs, H, W]` of images `[B, channels, H, W]`, whose
        height and width are multiples of `Backbone.stride`.
    output_stride : int, optional
        With `maps`, side of an image divided by that of the features that are upsampled. If omitted, 8, or
        the next larger one that the network has.

    Returns
    -------
    Backbone

    Raises
    ------
    UnknownNameError
        There is no backbone of this name.
    UsageError
        The builder is not trusted, or the architecture does not support this image size, maps or this
        output stride.
    TrainingError
        The published weights cannot be fetched.
    DataError
        The weights file does not match the architecture.

    Examples
    --------
    >>> import torch
    >>> from committee.backbones.build import build
    >>> backbone = build("timm:test_resnet", outputs=4, img_size=32, seed=0)
    >>> backbone(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 4])
    >>> backbone = build("timm:test_resnet", outputs=4, maps=True, output_stride=8, seed=0)
    >>> backbone(torch.zeros(2, 3, 32, 48)).shape, backbone.stride
    (torch.Size([2, 4, 32, 48]), 8)
    """
    architecture = _of_task(resolve(name), maps, output_stride)
    backbone = build_architecture(
        architecture,
        outputs,
        channels=channels,
        img_size=img_size,
        pretrained=pretrained,
        trusted=trusted,
        seed=seed,
    )
    if architecture.source == "python":
        shape = (channels, img_size, img_size)
        backbone.output = inspect(backbone.net, outputs, shape, name, logits=logits, maps=maps)
    if maps:
        require_sides(name, backbone.stride, img_size, img_size)
    if maps and architecture.source != "python":
        _require_size(backbone, channels, img_size)
    return backbone


def _of_task(architecture: Architecture, maps: bool, output_stride: int | None) -> Architecture:
    """Return the architecture of a network of maps or of rows, where it is cut included."""
    name, as_it_is = architecture.name, SOURCES.make(architecture.source).returns_maps(architecture.key)
    if not maps and as_it_is:
        raise UsageError(
            name,
            expected="a network with one output for each image",
            got="one with an output for each pixel",
            todo="Use it for images with masks (dataset.task: segmentation or dense_regression).",
        )
    if output_stride is not None and (not maps or as_it_is is not False):
        kind = "a network that returns maps as it is" if maps else "a network without maps"
        todo = "Leave output_stride out for this network."
        raise UsageError(name, expected=f"no output stride for {kind}", got=str(output_stride), todo=todo)
    cut = maps and as_it_is is False
    if cut and output_stride is not None and output_stride < 1:
        raise UsageError(name, expected="an output stride of at least 1", got=str(output_stride))
    return replace(architecture, output_stride=output_stride or AUTO) if cut else architecture


def build_architecture(
    architecture: Architecture,
    outputs: int,
    *,
    channels: int = 3,
    img_size: int = 224,
    pretrained: bool | str | Path = False,
    trusted: bool = False,
    seed: int | None = None,
) -> Backbone:
    """Build a backbone from its architecture; further parameters are those of `build`."""
    if architecture.source == "python" and not trusted:
        builder = f"python:{architecture.key}"
        raise UsageError(
            builder,
            expected="a builder that the recipe names",
            got="one from a saved file",
            todo=f"If you trust this code, allow it with --trust {builder}, with backbones.trusted in"
            " the recipe, or with trusted=True in Python.",
        )
    source = SOURCES.make(architecture.source)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        try:
            published = pretrained is True
            backbone = source.make(architecture, outputs, channels, img_size, published)
            return _finished(source, backbone, outputs, channels, pretrained)
        except CommitteeError:
            raise
        except Exception as error:
            raise _failure(architecture, img_size, error) from error


def pretrained_default(name: str) -> bool:
    """Return whether a backbone starts from published weights by default."""
    return name not in PRESETS and SOURCES.load(resolve(name).source).pretrained_default


def _prefixed(name: str, prefix: str, key: str) -> Architecture:
    sources = {**{source: source for source in SOURCES.names()}, "hf-hub": "timm"}
    if prefix not in sources:
        known = [f"{source}:" for source in sources]
        raise UnknownNameError(
            f"backbone {name}",
            expected=f"one of {', '.join(known)} or a name without source",
            got=f"'{prefix}:'",
            todo=nearest(f"{prefix}:", known),
        )
    key = name if prefix == "hf-hub" else key
    source = SOURCES.make(sources[prefix])
    if source.has(key):
        return Architecture(name, sources[prefix], key)
    untagged = key.partition(".")[0]
    raise UnknownNameError(
        f"backbone {name}",
        expected="package.module:builder" if prefix == "python" else f"a name of {prefix}",
        got=f"'{key}'",
        todo=nearest(untagged, source.names()),
    )


def _finished(
    source: Source, backbone: Backbone, outputs: int, channels: int, pretrained: bool | str | Path
) -> Backbone:
    """Load a file of weights, and make a network of maps where the architecture has an output stride.

    The weights are those of the network before the cut, or of a network of maps.
    """
    path = None if isinstance(pretrained, bool) else Path(pretrained)
    state = {} if path is None else read_weights(path)
    architecture = backbone.architecture
    cut = architecture is not None and architecture.output_stride is not None
    of_maps = cut and any(HEAD in name for name in state)
    if path is not None and not of_maps:
        state = strip_prefixes(state, backbone.net.state_dict())
        load_weights(backbone, source.convert(backbone.net, state), str(path))
    if architecture is not None and cut:
        backbone = _upsampled(source, backbone, architecture, outputs, channels)
    if path is not None and of_maps:
        load_weights(backbone, strip_prefixes(state, backbone.net.state_dict()), str(path))
    return backbone


def _upsampled(
    source: Source, backbone: Backbone, architecture: Architecture, outputs: int, channels: int
) -> Backbone:
    """Return a network of maps with the layers of a backbone up to the output stride."""
    features = source.cut(backbone, channels, architecture.output_stride or AUTO)
    multiple = multiple_of(features.body, channels, features.stride)
    if multiple is None:
        raise no_features(backbone.title)
    net, output = Upsampled(features, outputs), Output(maps=True, stride=multiple)
    architecture = replace(architecture, output_stride=features.stride)
    return Backbone(net, ("head",), architecture, backbone.mean, backbone.std, output)


def _failure(architecture: Architecture, img_size: int, error: Exception) -> CommitteeError:
    reason = (str(error).strip().splitlines() or [""])[0]
    if architecture.source == "python":
        return UsageError(
            architecture.name, expected="a network from the builder", got=f"{type(error).__name__}: {reason}"
        )
    if isinstance(error, OSError):
        return _unreachable(architecture, type(error).__name__)
    if "No pretrained weights" in reason:
        return no_published(architecture.name)
    return UsageError(
        architecture.name,
        expected=f"an architecture that supports images of {img_size} pixels",
        got=reason.rstrip("!."),
        todo="Give another dataset.img_size.",
    )


def _require_size(backbone: Backbone, channels: int, img_size: int) -> None:
    """Raise UsageError if a network of maps is for larger images, as it pools features several times."""
    architecture, side = backbone.architecture, math.ceil(img_size / backbone.stride) * backbone.stride
    assert architecture is not None
    try:
        dry_run(backbone.net, channels, side, side)
    except Exception as error:
        raise _failure(architecture, img_size, error) from error


def _unreachable(architecture: Architecture, reason: str) -> TrainingError:
    if architecture.key.startswith("hf-hub:"):
        return TrainingError(
            architecture.name,
            expected="the configuration and weights of the model",
            got=f"no response from huggingface.co ({reason})",
            todo="Use its architecture as timm:NAME, with random weights: --set training.pretrained=false.",
        )
    hub = "download.pytorch.org" if architecture.source == "torchvision" else "huggingface.co"
    return TrainingError(
        architecture.name,
        expected="the published weights",
        got=f"no response from {hub} ({reason})",
        todo="Start from random weights with --set training.pretrained=false, or from a file with"
        " --set training.pretrained=PATH.",
    )
