"""A folder that `Member.load` or `Ensemble.load` reads back: everything, in committee's own files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from committee.ensemble import Ensemble
from committee.errors import ExportError
from committee.exporters._base import Card, Exporter
from committee.exporters._module import ModulePredictor
from committee.member import Member, slugs


class Checkpoint(Exporter):
    """What `save` writes: weights, views, class names, provenance; an ensemble's members and combiner."""

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write the folder; see the base class."""
        if not isinstance(module, Member | Ensemble):
            raise ExportError(
                f"checkpoint of {card.name}", expected="a Member or an Ensemble", got=type(module).__name__,
                todo="Wrap it with Member.from_module.",
            )  # fmt: skip
        module.save(folder)
        return folder

    def load(self, file: Path, module: nn.Module) -> ModulePredictor:
        """Read the folder; see the base class."""
        # The module was built in this run, so its builder is one that the recipe of this run names; a network
        # that was never built by name is the one thing that the folder cannot hold.
        loaded: Member | Ensemble
        if isinstance(module, Ensemble):
            names = slugs([str(member.name) for member in module.members])
            nets = dict(zip(names, map(_unnamed, module.members), strict=True))
            loaded = Ensemble.load(file, trusted=True, nets={k: net for k, net in nets.items() if net})
        else:
            loaded = Member.load(file, trusted=True, net=_unnamed(module))
        return ModulePredictor(loaded, loaded.name, loaded.class_names)


def _unnamed(member: nn.Module) -> nn.Module | None:
    """Return a copy of a member's network if no name says how to build it."""
    network = cast("Member", member).network
    return None if network.architecture else copy.deepcopy(network.net)
