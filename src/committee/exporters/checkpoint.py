"""The checkpoint format: a folder in committee's own files, from which the whole module is rebuilt."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from committee.base.devices import resolve
from committee.errors import ExportError
from committee.exporters.base import Card, Exporter
from committee.models.composites.base import Composite
from committee.models.ensemble import Ensemble
from committee.models.ensemble import load as load_saved
from committee.models.member import Member
from committee.models.predictor import ModulePredictor, Predictor
from committee.models.slugs import slugs
from committee.store.commit import write_json
from committee.untrusted.documents import build, read_json

CARD = "card.json"


class Checkpoint(Exporter):
    """A folder that `Member.load` or `Ensemble.load` reads: weights, preprocessing, members and combiner.

    `card.json` contains the facts of the card. A network of a `python:` function is opened if the
    caller trusts it (`--trust`), since a folder from elsewhere must not choose which code runs.

    See Also
    --------
    Onnx : One file that needs no torch.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from committee.exporters.base import Card
    >>> from committee.exporters.checkpoint import Checkpoint
    >>> from committee.models.member import Member
    >>> member = Member.build("timm:test_resnet", classes=["cat", "dog"], size=32, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Checkpoint().export(member, torch.empty(0), Path(folder), Card("pets", ("cat", "dog")))
    ...     Checkpoint().open(file).class_names
    ('cat', 'dog')
    """

    with_std = True

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
        write_json(folder / CARD, {"name": card.name, "facts": dict(card.facts)})
        return folder

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Build the module from the folder; see the base class."""
        where = resolve(device)
        facts = read_json(file / CARD, "the card of a checkpoint")
        module: Any = load_saved(file, trusted=self.trusted)
        return build(
            lambda: ModulePredictor(module, str(facts["name"]), module.class_names, where, facts["facts"]),
            file / CARD,
            "the card of a checkpoint",
        )

    def load(self, file: Path, module: nn.Module) -> Predictor:
        """Read the folder, with copies of the networks of `module` that no name describes."""
        # The module was built in this run, so the recipe of this run names its builder.
        name = "itself"
        loaded: Any = load_saved(file, trusted=True, nets=_unnamed({name: module}), name=name)
        return ModulePredictor(loaded, loaded.name, loaded.class_names)


def _unnamed(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return copies of the networks that cannot be built by name, by the folder of their member."""
    found: dict[str, nn.Module] = {}
    for name, module in modules.items():
        parts = module.members if isinstance(module, Ensemble) else getattr(module, "parts", ())
        found |= _unnamed(dict(zip(slugs([str(part.name) for part in parts]), parts, strict=True)))
        if isinstance(module, Member) and module.network.architecture is None:
            found[name] = copy.deepcopy(module.network.net)
    return found
