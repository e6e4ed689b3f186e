"""The one function that builds a network from a folder of a store."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch import nn

from committee.models.ensemble import load
from committee.store.manifest import read_whole


def load_network(
    folder: Path, trusted: bool | Collection[str], known: dict[str, nn.Module] | None = None
) -> Any:
    """Load one fit of a member, usually one network, from its folder in a store.

    All stages, verbs and plans load stored networks with this function, so that none imports a `python:`
    builder because a store names it.

    Parameters
    ----------
    folder : Path
        Such as `store.checkpoint("resnet18", "refit")`.
    trusted : bool or collection of str
        The `python:` backbones that may be built, such as `recipe.trusted_backbones()`; True allows all.
    known : dict of str to nn.Module, optional
        Networks that are loaded already, which equal ones share; see `committee.models.ensemble.load`.

    Returns
    -------
    Member, Ensemble or Composite
        In evaluation mode.

    Raises
    ------
    StoreError
        A file is damaged.
    UsageError
        A builder is not trusted.
    """
    return read_whole(folder, lambda whole: load(whole, trusted=trusted, known=known))
