"""Backbones from Python builders of the user: `python:package.module:builder`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import nn

from committee.backbones.base import (
    Architecture,
    Backbone,
    Source,
    find_head,
)
from committee.errors import UsageError, nearest


class PythonSource(Source):
    """Source of backbones named `python:package.module:builder`.

    The builder is called with those of the arguments `classes` (or `num_classes`), `channels` (or `in_chans`)
    and `img_size` that it has, and returns a module from normalized images to logits.

    See Also
    --------
    committee.backbones.build.build : Build a backbone by name.

    Examples
    --------
    >>> from committee.backbones.sources.python import PythonSource
    >>> PythonSource().has("my_package.networks:small_cnn")
    True
    """

    pretrained_default: ClassVar[bool] = False

    def names(self) -> Sequence[str]:
        """Return an empty tuple: the builders that can be imported are not known beforehand."""
        return ()

    def has(self, key: str) -> bool:
        """Return whether `key` has the form `package.module:builder`."""
        module, _, builder = key.partition(":")
        return builder.isidentifier() and all(part.isidentifier() for part in module.split("."))

    def returns_maps(self, key: str) -> bool | None:
        """Return None: only the builder knows."""
        return None

    def make(
        self, architecture: Architecture, classes: int, channels: int, img_size: int, pretrained: bool
    ) -> Backbone:
        """Import the builder and call it."""
        if pretrained:
            raise UsageError(
                architecture.name,
                expected="pretrained: false, or the path of a weights file",
                got="true",
                todo="A Python builder has no published weights.",
            )
        builder = _import(architecture)
        known = {
            "classes": classes,
            "num_classes": classes,
            "channels": channels,
            "in_chans": channels,
            "img_size": img_size,
        }
        taken = {
            name: value for name, value in known.items() if name in inspect.signature(builder).parameters
        }
        net = builder(**taken, **architecture.options)
        if not isinstance(net, nn.Module):
            raise UsageError(
                architecture.name, expected="a builder that returns a torch.nn.Module", got=type(net).__name__
            )
        return Backbone(net, find_head(net, classes), architecture)


def _import(architecture: Architecture) -> Callable[..., Any]:
    path, _, name = architecture.key.partition(":")
    try:
        module = importlib.import_module(path)
    except ImportError as error:
        raise UsageError(
            architecture.name,
            expected="a module that can be imported",
            got=str(error),
            todo="Install it, or put its folder on PYTHONPATH.",
        ) from error
    builder = getattr(module, name, None)
    if not callable(builder):
        raise UsageError(
            architecture.name,
            expected=f"a function of {path}",
            got=f"'{name}'",
            todo=nearest(name, vars(module)),
        )
    return builder
