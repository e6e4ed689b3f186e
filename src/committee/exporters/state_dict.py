"""Weights alone: a safetensors file and the names of the classes, for code that has the architecture."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from committee.exporters._module import ModulePredictor
from committee.exporters.base import Card, Exporter


class StateDict(Exporter):
    """`weights.safetensors` holds the state dict of the module, `class_mapping.json` its columns."""

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write the weights; see the base class."""
        path = folder / "weights.safetensors"
        # safetensors takes neither shared nor channels-last memory.
        tensors = {
            key: value.detach().clone(memory_format=torch.contiguous_format)
            for key, value in module.state_dict().items()
        }
        names = {str(index): name for index, name in enumerate(card.class_names)}
        # As one entry: safetensors writes several in another order each time.
        about = json.dumps({"name": card.name, "class_mapping": names})
        save_file(tensors, path, metadata={"committee": about})
        text = json.dumps(names, indent=1, ensure_ascii=False)
        (folder / "class_mapping.json").write_text(text + "\n", encoding="utf-8")
        return path

    def load(self, file: Path, module: nn.Module) -> ModulePredictor:
        """Read the weights into a copy of `module`, whose own are overwritten with NaN first."""
        twin = copy.deepcopy(module)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.fill_(torch.nan)
        twin.load_state_dict(load_file(file))
        with safe_open(file, "pt") as opened:
            about = json.loads(opened.metadata()["committee"])
        return ModulePredictor(twin, about["name"], list(about["class_mapping"].values()))
