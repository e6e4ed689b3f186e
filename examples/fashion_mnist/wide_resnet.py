"""A wide residual network (Zagoruyko and Komodakis 2016) for small images, as a builder of `whole.yaml`."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions, each after batch normalization and ReLU, added to their input."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        same = inside == outside and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return features `[B, outside, H / stride, W / stride]` of features `[B, inside, H, W]`."""
        active = self.first(x).relu()
        changed = self.conv2(self.second(self.conv1(active)).relu())
        return changed + self.skip(x if isinstance(self.skip, nn.Identity) else active)


def wide_resnet(classes: int, channels: int, depth: int = 16, width: int = 2) -> nn.Module:
    """Return a wide residual network; WRN-16-2, the default, has 0.69 million parameters."""
    sizes = [16, 16 * width, 32 * width, 64 * width]
    layers: list[nn.Module] = [nn.Conv2d(channels, sizes[0], 3, 1, 1, bias=False)]
    for stage, (inside, outside) in enumerate(pairwise(sizes)):
        for place in range((depth - 4) // 6):
            stride = 2 if stage and not place else 1
            layers.append(Block(inside if not place else outside, outside, stride))
    layers += [nn.BatchNorm2d(sizes[-1]), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))
