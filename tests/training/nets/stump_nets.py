"""A decision stump as a network: one number for dark images, and one for bright ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Stump(nn.Module):
    """Two leaves, which training fits."""

    def __init__(self, targets: int) -> None:
        super().__init__()
        self.leaf = nn.Linear(2, targets, bias=False)
        nn.init.zeros_(self.leaf.weight)

    def forward(self, images: Tensor) -> Tensor:
        bright = images.mean(dim=(1, 2, 3)) > 0
        return self.leaf(torch.stack([~bright, bright], dim=1).to(images.dtype))


def stump(classes: int) -> nn.Module:
    return Stump(classes)
