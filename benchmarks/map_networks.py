"""Networks of maps: parameters, and the time of an image of 256 x 256 pixels on one thread of a CPU.

Each network has three channels and two classes, random weights, and the default output stride where it is
cut. The time is that of the thread, so that other programs hardly change it; the networks take turns.
"""

from __future__ import annotations

import itertools
import statistics
import time

import torch
from harness import Row, installed, main

from committee.backbones.base import Backbone
from committee.backbones.build import build

QUESTION = "networks of maps"
SIDE = 256
NAMES = (
    "torchvision:alexnet",
    "torchvision:vgg11",
    "torchvision:resnet18",
    "torchvision:resnet50",
    "torchvision:densenet121",
    "torchvision:squeezenet1_1",
    "torchvision:googlenet",
    "torchvision:mobilenet_v3_small",
    "torchvision:efficientnet_b0",
    "torchvision:convnext_tiny",
    "torchvision:regnet_y_400mf",
    "timm:vit_tiny_patch16_224",
    "timm:swin_tiny_patch4_window7_224",
    "CustomResidualDeconv",
    "torchvision:lraspp_mobilenet_v3_large",
    "torchvision:fcn_resnet50",
)
OF_SMP = ("smp:unet/resnet18", "smp:unet/mobilenet_v2", "smp:fpn/resnet18", "smp:deeplabv3plus/resnet18")


@torch.inference_mode()
def spent(backbone: Backbone, images: torch.Tensor) -> float:
    """Return the seconds of processor time of one call."""
    start = time.process_time()
    backbone(images)
    return time.process_time() - start


def measure(quick: bool) -> list[Row]:
    """Return the median time of each network."""
    names = (
        ("timm:test_resnet",)
        if quick
        else NAMES + (OF_SMP if installed("segmentation_models_pytorch") else ())
    )
    images = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    networks = {name: build(name, 2, img_size=SIDE, maps=True, seed=0).eval() for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for round_, name in itertools.product(range(2 if quick else 6), names):
        found = spent(networks[name], images)
        if round_ > 0:  # the first call allocates memory
            times[name].append(found)
    return [_row(name, networks[name], times[name]) for name in names]


def _row(name: str, backbone: Backbone, times: list[float]) -> Row:
    millions = sum(parameter.numel() for parameter in backbone.parameters()) / 1e6
    architecture = backbone.architecture
    cut = architecture.output_stride if architecture else None
    note = f"{millions:.1f} million parameters, " + (
        f"cut at {cut}" if cut else f"multiples of {backbone.stride}"
    )
    return Row(QUESTION, f"{name}, {SIDE} x {SIDE} pixels, 1 thread", "", statistics.median(times), note=note)


if __name__ == "__main__":
    main(measure)
