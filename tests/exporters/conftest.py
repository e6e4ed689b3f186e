"""Real photographs, and small networks whose normalization layers are not the identity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from committee.images.view import View


class WithView(nn.Module):
    """A view and a network."""

    def __init__(self, backbone: str, size: int, fit: str = "crop", channels: int = 3) -> None:
        super().__init__()
        self.view = View(size, 0.45, 0.25, fit, channels)
        self.network = timm.create_model(backbone, num_classes=4, in_chans=channels)
        self.network.load_state_dict(perturbed(self.network.state_dict()))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.view(images))


class Vote(nn.Module):
    """The mean of several of them."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.stack([member(images) for member in self.members])
        return torch.logsumexp(logits.log_softmax(2), 0)


def perturbed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Change all normalizations, since timm starts the last one of a block at zero, which hides the block."""
    shaken = torch.Generator().manual_seed(0)
    out = {}
    for key, value in state.items():
        small = value.is_floating_point() and value.ndim == 1
        out[key] = value + 0.3 * torch.rand(value.shape, generator=shaken) if small else value
    return out


@pytest.fixture(scope="session")
def photos() -> NDArray[np.uint8]:
    """Three views of two real photographs: uint8 `[3, 3, 120, 160]`."""
    china, flower = (image.transpose(2, 0, 1) for image in load_sample_images().images)
    return np.stack([china[:, :360:3, ::4], flower[:, :360:3, ::4], china[:, 200:320, 300:460]])


@pytest.fixture(scope="session")
def shaken() -> Callable[[nn.Module], nn.Module]:
    """Change the normalizations of a module, and put it in evaluation mode."""

    def shake(module: nn.Module) -> nn.Module:
        module.load_state_dict(perturbed(module.state_dict()))
        return module.eval()

    return shake


@pytest.fixture(scope="session")
def with_view() -> type[WithView]:
    return WithView


@pytest.fixture(scope="session")
def vote() -> Vote:
    """A convolutional network and a transformer of different input size."""
    torch.manual_seed(0)
    members = [WithView("test_resnet.r160_in1k", 64), WithView("test_vit.r160_in1k", 160, "squash")]
    return Vote(members).eval()
