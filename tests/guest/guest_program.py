"""An export format: programs of TorchScript, which torch opens in no time."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def _deprecated() -> Iterator[None]:
    """Ignore that TorchScript is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class GuestProgram(Exporter):
    """A traced program, with the card in an extra file of the archive."""

    suffix = ".guest.ts"
    graph = True

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.guest.ts`; see the base class."""
        path = folder / f"model{self.suffix}"
        about = {"name": card.name, "class_names": card.class_names, "facts": dict(card.facts)}
        about["channels"] = example.shape[1]
        with tracing(), _deprecated():
            program = torch.jit.trace(module.eval(), (example,), check_trace=False)
            torch.jit.save(program, path, {CARD: json.dumps(about)})
        return path

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open `model.guest.ts`; see the base class."""
        where = resolve(device)
        extra = {CARD: ""}
        try:
            with _deprecated():
                module = torch.jit.load(file, map_location=where, _extra_files=extra)
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
        with torch.inference_mode(), _deprecated():
            return self.module(torch.tensor(images, device=self.device)).float().softmax(1).cpu().numpy()
