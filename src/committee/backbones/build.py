"""From a name to a network: presets, torchvision, timm, the hub, and builders of one's own."""

from __future__ import annotations

from pathlib import Path

import torch

from committee.backbones._weights import load_weights, read_weights, strip_prefixes
from committee.backbones.base import SOURCES, Architecture, Backbone
from committee.backbones.presets import PRESETS
from committee.errors import CommitteeError, TrainingError, UnknownNameError, UsageError, nearest

BARE = ("torchvision", "timm")


def resolve(name: str) -> Architecture:
    """Return the architecture that `name` stands for; no weights are fetched, no builder is imported.

    A bare name is looked up among the presets, then torchvision, then timm.

    Raises
    ------
    UnknownNameError
        Nothing has that name; the sentence has the nearest.
    """
    prefix, colon, key = name.partition(":")
    if colon:
        return _prefixed(name, prefix, key)
    if name in PRESETS:
        timm_name, options = PRESETS[name]
        return Architecture(name, "timm", timm_name, options)
    for source in BARE:
        if SOURCES.make(source).knows(name):
            return Architecture(f"{source}:{name}", source, name)
    known = (*PRESETS, *SOURCES.make("torchvision").names(), *SOURCES.make("timm").names())
    raise UnknownNameError(
        "backbone",
        expected="a preset or a name of torchvision or timm",
        got=f"'{name}'",
        todo=nearest(name, known),
    )


def build(
    name: str,
    classes: int,
    *,
    channels: int = 3,
    img_size: int = 224,
    pretrained: bool | str | Path = False,
    trusted: bool = False,
    seed: int | None = None,
) -> Backbone:
    """Build a backbone by name.

    Parameters
    ----------
    name : str
        `timm:NAME`, `torchvision:NAME`, `hf-hub:OWNER/NAME`, `python:package.module:builder`, or a bare name.
    classes : int
        Number of outputs.
    channels : int
        1 or 3.
    img_size : int
        Side of its input in pixels.
    pretrained : bool, str or Path
        Published weights, random ones, or those of a file; a head of other classes starts at random.
    trusted : bool
        Whether a `python:` builder may be imported: true when the recipe of this run names it.
    seed : int, optional
        Of the random weights, torch's global generator being left as it was; left out, that one draws them.

    Raises
    ------
    UnknownNameError
        Nothing has that name.
    UsageError
        The builder is not trusted, or the architecture cannot be built at this size.
    TrainingError
        The published weights cannot be fetched.
    DataError
        The weights file does not fit.
    """
    published = pretrained is True
    backbone = build_architecture(
        resolve(name),
        classes,
        channels=channels,
        img_size=img_size,
        published=published,
        trusted=trusted,
        seed=seed,
    )
    if not isinstance(pretrained, bool):
        _load_file(backbone, Path(pretrained))
    return backbone


def build_architecture(
    architecture: Architecture,
    classes: int,
    *,
    channels: int = 3,
    img_size: int = 224,
    published: bool = False,
    trusted: bool = False,
    seed: int | None = None,
) -> Backbone:
    """Build a backbone from a resolved architecture; the parameters are those of `build`."""
    if architecture.source == "python" and not trusted:
        raise UsageError(
            architecture.name,
            expected="a builder that the recipe of this run names",
            got="one that a file names",
            todo="Name it in the recipe's backbones.include, or pass trusted=True.",
        )
    source = SOURCES.make(architecture.source)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        try:
            return source.make(architecture, classes, channels, img_size, published)
        except CommitteeError:
            raise
        except Exception as error:
            raise _failure(architecture, img_size, error) from error


def pretrained_default(name: str) -> bool:
    """Return whether a backbone starts from published weights when the recipe does not say."""
    return name not in PRESETS and SOURCES.load(resolve(name).source).pretrained_default


def _prefixed(name: str, prefix: str, key: str) -> Architecture:
    sources = {**{source: source for source in SOURCES.names()}, "hf-hub": "timm"}
    if prefix not in sources:
        known = [f"{source}:" for source in sources]
        raise UnknownNameError(
            f"backbone {name}",
            expected=f"one of {', '.join(known)} or a bare name",
            got=f"'{prefix}:'",
            todo=nearest(f"{prefix}:", known),
        )
    key = name if prefix == "hf-hub" else key
    source = SOURCES.make(sources[prefix])
    if source.knows(key):
        return Architecture(name, sources[prefix], key)
    untagged = key.partition(".")[0]
    raise UnknownNameError(
        f"backbone {name}",
        expected="package.module:builder" if prefix == "python" else f"a name of {prefix}",
        got=f"'{key}'",
        todo=nearest(untagged, source.names()),
    )


def _load_file(backbone: Backbone, path: Path) -> None:
    architecture = backbone.architecture
    assert architecture is not None
    state = strip_prefixes(read_weights(path), backbone.net.state_dict())
    state = SOURCES.make(architecture.source).convert(backbone.net, state)
    load_weights(backbone, state, str(path))


def _failure(architecture: Architecture, img_size: int, error: Exception) -> CommitteeError:
    reason = (str(error).strip().splitlines() or [""])[0]
    if architecture.source == "python":
        return UsageError(
            architecture.name, expected="a network from the builder", got=f"{type(error).__name__}: {reason}"
        )
    if isinstance(error, OSError):
        return _unreachable(architecture, type(error).__name__)
    if "No pretrained weights" in reason:
        return UsageError(
            architecture.name,
            expected="weights that its authors publish",
            got="none",
            todo="Start from random weights with --set training.pretrained=false.",
        )
    return UsageError(
        architecture.name,
        expected=f"an architecture that can be built for {img_size} pixels",
        got=reason.rstrip("!."),
        todo="Give another dataset.img_size.",
    )


def _unreachable(architecture: Architecture, reason: str) -> TrainingError:
    if architecture.key.startswith("hf-hub:"):
        return TrainingError(
            architecture.name,
            expected="its description and weights",
            got=f"no answer from huggingface.co ({reason})",
            todo="Name its architecture as timm:NAME, and start from random weights with"
            " --set training.pretrained=false.",
        )
    hub = "download.pytorch.org" if architecture.source == "torchvision" else "huggingface.co"
    return TrainingError(
        architecture.name,
        expected="its published weights",
        got=f"no answer from {hub} ({reason})",
        todo="Start from random weights with --set training.pretrained=false, or from a file with"
        " --set training.pretrained=PATH.",
    )
