"""Batch normalization is folded where that changes nothing, and left where something else reads its input."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from committee.engines.shared.batch_norm import fold_batch_norm


def shaken(net: nn.Module) -> nn.Module:
    """Make the normalizations other than the identity."""
    torch.manual_seed(0)
    for tensor in net.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return net.eval()


class Read(nn.Module):
    """A convolution whose output is read beside the normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images)
        return self.norm(features) + features


class Shared(nn.Module):
    """A convolution that two normalizations read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first, self.second = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        return self.first(self.conv(images)) + self.second(self.conv(images.flip(3)))


class Twice(nn.Module):
    """A convolution and its normalization, applied twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(self.norm(self.conv(images)).relu()))


class Scaled(nn.Conv2d):
    """A convolution that changes its weights when it runs."""

    def forward(self, images: Tensor) -> Tensor:
        return self._conv_forward(images, self.weight / self.weight.std(), self.bias)


def timm_layer() -> nn.Module:
    from timm.layers import BatchNormAct2d

    return BatchNormAct2d(4)


@pytest.mark.parametrize(
    ("net", "folded"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()), 1),
        (nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), 1),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.BatchNorm1d(5)), 1),
        (nn.Sequential(nn.Conv2d(3, 4, 3), timm_layer()), 1),
        (Twice(), 1),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), 0),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), 0),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), 0),
        (nn.Sequential(Scaled(3, 4, 3), nn.BatchNorm2d(4)), 0),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)), 0),
        (Read(), 0),
        (Shared(), 0),
    ],
)
@torch.no_grad()
def test_a_normalization_is_folded_if_it_alone_reads_a_linear_layer(net: nn.Module, folded: int) -> None:
    before, images = shaken(net), torch.rand(2, 3, 8, 8)
    changed = copy.deepcopy(before)
    assert fold_batch_norm(changed, images[:1]) == folded
    torch.testing.assert_close(changed(images), before(images), atol=1e-5, rtol=1e-5)
