"""Models on their way to other machines: what a worker opens without the store and the files of this one."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from committee.errors import UsageError
from committee.exporters.base import open_exported
from committee.inference.named import path_of
from committee.models.predictor import Predictor
from committee.pipeline.bundling.reading import is_bundle, open_bundle
from committee.store.manifest import NAME

if TYPE_CHECKING:
    from committee.recipe.model import Recipe
    from committee.store.layout import Store

CARD = "card.json"


class Shipped(Protocol):
    """A model as it is sent to workers. It is pickled."""

    def open(self, device: str) -> Predictor:
        """Return the model, on a device of this machine."""
        ...


@dataclass(frozen=True)
class ShippedModule:
    """A model of a store.

    Parameters
    ----------
    module : torch.nn.Module
    name : str
    class_names : tuple of str
    provenance : mapping
    """

    module: Any
    name: str
    class_names: tuple[str, ...]
    provenance: Mapping[str, Any]

    def open(self, device: str) -> Predictor:
        """Return the model, on a device of this machine."""
        from committee.base.devices import resolve
        from committee.models.optimized import Optimized
        from committee.models.predictor import ModulePredictor

        found = resolve(device)
        # An engine was prepared for processors; on another device, the model runs as it is.
        is_prepared = isinstance(self.module, Optimized) and found.type != "cpu"
        module = self.module.model if is_prepared else self.module
        return ModulePredictor(module, self.name, self.class_names, found, self.provenance)


@dataclass(frozen=True)
class ShippedFiles:
    """An exported file, a package or a bundle.

    Parameters
    ----------
    files : mapping of str to bytes
        Content of the files, by their paths with `/`.
    path : str
        The path among them that is opened; a blank is the whole folder.
    trusted : collection of str, or bool
        Formats that may run code of the file.
    """

    files: Mapping[str, bytes]
    path: str
    trusted: bool | Collection[str]

    def open(self, device: str) -> Predictor:
        """Write the files to a folder of this machine, and return the model on one of its devices."""
        folder = tempfile.TemporaryDirectory(prefix="committee-", ignore_cleanup_errors=True)
        for name, content in self.files.items():
            path = Path(folder.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        path = Path(folder.name, self.path)
        model = open_bundle(path, device) if is_bundle(path) else open_exported(path, device, self.trusted)
        _FOLDERS.append(folder)  # some formats read their files again
        return model


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def ship(name: str, store: Store, recipe: Recipe, model: Any) -> Shipped:
    """Return a model as it is sent to workers.

    Parameters
    ----------
    name : str
        What `open_model` opened.
    store : Store
    recipe : Recipe
    model : Predictor
        What it returned.

    Raises
    ------
    UsageError
        The networks of the model are loaded one after the other.
    """
    path = path_of(name, store)
    if path is None:
        if not hasattr(model, "module") or hasattr(model, "shelf"):
            raise UsageError(
                "--executor ray",
                expected="a model that fits in memory",
                got=f"{model.name}, whose networks are loaded one after the other",
                todo="Export it and predict with the file, or leave --stream out if you gave it.",
            )
        return ShippedModule(model.module, model.name, model.class_names, model.provenance)
    if path.is_dir():
        return ShippedFiles(_contents(path), "", recipe.trusted())
    if (path.parent / NAME).is_file():  # its folder has checksums
        return ShippedFiles(_contents(path.parent), path.name, recipe.trusted())
    # Some formats store large arrays, or their card, in files beside the first.
    beside = [*path.parent.glob(f"{glob.escape(path.name)}*"), path.parent / CARD]
    files = {each.name: each.read_bytes() for each in beside if each.is_file()}
    return ShippedFiles(files, path.name, recipe.trusted())


def _contents(folder: Path) -> dict[str, bytes]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in files}
