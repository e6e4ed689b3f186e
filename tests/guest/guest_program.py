"""An export format: programs of `torch.export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from committee.base.devices import resolve
from committee.base.tracing import tracing
from committee.errors import StoreError
from committee.exporters import Card, Exporter
from committee.models import Predictor

CARD = "card.json"


class GuestProgram(Exporter):
    """A program of `torch.export`, with the card in an extra file of the archive."""

    suffix = ".guest.pt2"
    graph = True

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.guest.pt2`; see the base class."""
        free = {axis: torch.export.Dim(name) for axis, name in ((0, "batch"), (2, "height"), (3, "width"))}
        with tracing():
            program = torch.export.export(module.eval(), (example,), dynamic_shapes=(free,))
        path = folder / f"model{self.suffix}"
        about = {"name": card.name, "class_names": card.class_names, "facts": dict(card.facts)}
        about["channels"] = example.shape[1]
        torch.export.save(program, path, extra_files={CARD: json.dumps(about)})
        return path

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open `model.guest.pt2`; see the base class."""
        where = resolve(device)
        extra = {CARD: ""}
        try:
            module = torch.export.load(file, extra_files=extra).module().to(where)
        except Exception as error:
            raise StoreError(str(file), expected="a complete program", got="a damaged one") from error
        return _Program(module, where, json.loads(extra[CARD]))


class _Program:
    def __init__(self, module: nn.Module, device: torch.device, about: dict[str, Any]) -> None:
        self.module, self.device = module, device
        self.name, self.class_names = about["name"], tuple(about["class_names"])
        self.provenance, self.channels = about["facts"], about["channels"]

    def __call__(self, images: Any) -> Any:
        """Return the probabilities, float32 `[B, C]`."""
        with torch.inference_mode():
            return self.module(torch.tensor(images, device=self.device)).float().softmax(1).cpu().numpy()
