"""A folder that `Member.load` or `Ensemble.load` reads back: everything, in committee's own files."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from committee.errors import ExportError
from committee.exporters._module import ModulePredictor
from committee.exporters.base import Card, Exporter
from committee.models.composites.base import Composite
from committee.models.ensemble import Ensemble
from committee.models.ensemble import load as load_saved
from committee.models.member import Member, slugs


class Checkpoint(Exporter):
    """What `save` writes: weights, views, class names, provenance; an ensemble's members and combiner."""

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write the folder; see the base class."""
        if not isinstance(module, Member | Ensemble | Composite):
            raise ExportError(
                f"checkpoint of {card.name}",
                expected="a Member, an Ensemble or a Composite",
                got=type(module).__name__,
                todo="Wrap it with Member.from_module.",
            )
        module.save(folder)
        return folder

    def load(self, file: Path, module: nn.Module) -> ModulePredictor:
        """Read the folder; see the base class."""
        # The module was built in this run, so its builder is one that the recipe of this run names; a network
        # that was never built by name is the one thing that the folder cannot hold.
        name = "itself"
        loaded: Any = load_saved(file, trusted=True, nets=_unnamed({name: module}), name=name)
        return ModulePredictor(loaded, loaded.name, loaded.class_names)


def _unnamed(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return copies of the networks that no name says how to build, by the folder of their member."""
    found: dict[str, nn.Module] = {}
    for name, module in modules.items():
        parts = module.members if isinstance(module, Ensemble) else getattr(module, "parts", ())
        found |= _unnamed(dict(zip(slugs([str(part.name) for part in parts]), parts, strict=True)))
        if isinstance(module, Member) and module.network.architecture is None:
            found[name] = copy.deepcopy(module.network.net)
    return found
