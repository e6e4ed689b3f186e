"""A module in memory behind the same call as an exported file: what exported files are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from committee.exporters._predictor import Images, Probabilities
from committee.images.view import View


class ModulePredictor:
    """A member, an ensemble or any other module of images to logits, ready to predict.

    Parameters
    ----------
    module : torch.nn.Module
        Images uint8 `[B, c, H, W]` -> logits `[B, C]`. It is put in evaluation mode and on `device`.
    name : str
    class_names : sequence of str, length C
    device : str or torch.device
    provenance : mapping, optional
        What is known of it.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        class_names: Sequence[str],
        device: str | torch.device = "cpu",
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.module = module.to(device).eval()
        self.provenance = dict(provenance or {})
        self.name, self.class_names, self.device = name, tuple(class_names), device

    @property
    def channels(self) -> int:
        """Channels of the images that it takes, as the first view in it says."""
        return next((part.channels for part in self.module.modules() if isinstance(part, View)), 3)

    def __call__(self, images: Images) -> Probabilities:
        """Turn uint8 `[B, c, H, W]`, any H and W, into probabilities float32 `[B, C]`."""
        with torch.inference_mode():
            answer_of = getattr(self.module, "infer", self.module)
            logits = answer_of(torch.tensor(images, device=self.device))
            answer: Probabilities = logits.float().softmax(1).cpu().numpy()
        return answer
