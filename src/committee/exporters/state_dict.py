"""The weights of a module alone: a safetensors file and the class names."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from committee.errors import UsageError
from committee.exporters.base import Card, Exporter
from committee.models.predictor import ModulePredictor, Predictor


class StateDict(Exporter):
    """Weights for code that has the architecture: `weights.safetensors` and `class_mapping.json`.

    `weights.safetensors` contains the state dict of the module; its metadata, and `class_mapping.json`, name
    the class of each output. The file alone cannot predict, since it does not contain the architecture.

    See Also
    --------
    Checkpoint : The weights with the architecture.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from safetensors.torch import load_file
    >>> from committee.exporters.base import Card
    >>> from committee.exporters.state_dict import StateDict
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net = torch.nn.Linear(3, 2)
    ...     file = StateDict().export(net, torch.empty(0), Path(folder), Card("pets", ("cat", "dog")))
    ...     {key: list(value.shape) for key, value in load_file(file).items()}
    {'bias': [2], 'weight': [2, 3]}
    """

    suffix = ".safetensors"
    self_contained = False
    with_std = True

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write the weights; see the base class."""
        path = folder / f"weights{self.suffix}"
        # safetensors accepts neither shared nor channels-last memory.
        tensors = {
            key: value.detach().clone(memory_format=torch.contiguous_format)
            for key, value in module.state_dict().items()
        }
        names = {str(index): name for index, name in enumerate(card.class_names)}
        # In one entry, since safetensors writes several entries in a different order each time.
        about = json.dumps({"name": card.name, "class_mapping": names})
        save_file(tensors, path, metadata={"committee": about})
        text = json.dumps(names, indent=1, ensure_ascii=False)
        (folder / "class_mapping.json").write_text(text + "\n", encoding="utf-8")
        return path

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Raise UsageError: the file does not contain the architecture."""
        raise UsageError(
            str(file),
            expected="a file that contains a whole model",
            got="the weights alone",
            todo="Use another format of the package, or a model of a store by its name.",
        )

    def load(self, file: Path, module: nn.Module) -> Predictor:
        """Read the weights into a copy of `module`, whose own weights are overwritten with NaN first."""
        twin = copy.deepcopy(module)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.fill_(torch.nan)
        twin.load_state_dict(load_file(file))
        with safe_open(file, "pt") as opened:
            about = json.loads(opened.metadata()["committee"])
        return ModulePredictor(twin, about["name"], list(about["class_mapping"].values()))
