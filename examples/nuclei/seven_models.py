# %% [markdown]
# # Seven networks as one module
#
# AlexNet, VGG, ResNet, DenseNet, SqueezeNet, GoogLeNet and CustomResidualDeconv find the nuclei in a
# micrograph. Each is trained alone; `Ensemble` makes one module of them, which loads all weights,
# predicts in one call, trains end to end and exports as one file. The cells run in an editor that knows
# `# %%`, or all at once:
#
#     pip install 'committee[onnx,examples]'
#     python examples/nuclei/seven_models.py

# %%
from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from stardist.data import test_image_nuclei_2d
from torch import Tensor
from torch.nn import functional

from committee.exporters import Onnx, open_exported
from committee.exporters.base import Card
from committee.metrics import ClassImages
from committee.models import Ensemble, Member

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=30)
arguments = parser.parse_args()

CLASSES = ["background", "nucleus"]
SIDE, BATCH = 64, 8
torch.manual_seed(0)

# %% [markdown]
# The left half of the micrograph is for training, and the right half for the test. Of the left half, the
# upper three quarters train the networks, and the rest fits the weights of the ensemble, since networks
# are too certain about what they were trained on.

# %%
micrograph, nuclei = test_image_nuclei_2d(return_mask=True)
image = torch.from_numpy(micrograph.astype(np.uint8))[None]  # its values are 0 to 235
mask = torch.from_numpy((nuclei > 0).astype(np.int64))
known, held_out, test = np.s_[:384, :256], np.s_[384:, :256], np.s_[:, 256:]


def crops(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return random squares of the training part, turned and mirrored, with their masks."""
    pixels, labels = image[:, *known], mask[known]
    found = []
    for _ in range(BATCH):
        top, left = (int(torch.randint(0, side - SIDE + 1, (), generator=generator)) for side in labels.shape)
        part = np.s_[top : top + SIDE, left : left + SIDE]
        turns, mirrored = int(torch.randint(0, 4, (), generator=generator)), bool(top % 2)
        square = torch.cat([pixels[:, *part], labels[part][None]]).rot90(turns, (1, 2))
        found.append(square.flip(2) if mirrored else square)
    stacked = torch.stack(found)
    return stacked[:, :1].to(torch.uint8), stacked[:, 1]


# %% [markdown]
# A classification network is cut where its features are eight times smaller than the image; a head of
# upsampling, convolutions, batch norm and ReLU makes maps of them (`docs/how-to/segmentation-
# networks.md`). CustomResidualDeconv returns maps as it is.

# %%
BACKBONES = {
    "alexnet": "torchvision:alexnet",
    "vgg": "torchvision:vgg11",
    "resnet": "torchvision:resnet18",
    "densenet": "torchvision:densenet121",
    "squeezenet": "torchvision:squeezenet1_1",
    "googlenet": "torchvision:googlenet",
    "deconv": "CustomResidualDeconv",
}
members = [
    Member.build(
        backbone,
        classes=CLASSES,
        task="segmentation",
        size=SIDE,
        channels=1,
        name=name,
        seed=number,
        output_stride=None if name == "deconv" else 8,
    )
    for number, (name, backbone) in enumerate(BACKBONES.items())
]


def train(module: torch.nn.Module, epochs: int, rate: float, seed: int) -> None:
    """Train a module from images to logits, or log-probabilities, with cross-entropy."""
    generator = torch.Generator().manual_seed(seed)
    steps = epochs * 24 // BATCH
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    module.train()
    for _ in range(steps):
        pixels, labels = crops(generator)
        optimizer.zero_grad()
        functional.cross_entropy(module(pixels), labels).backward()
        optimizer.step()
        schedule.step()
    module.eval()


def iou(module: torch.nn.Module) -> float:
    """Return the IoU of the nuclei in the right half of the micrograph."""
    with torch.inference_mode():
        outputs = module(image[:, *test][None])[0].log_softmax(0)
    scores = ClassImages(CLASSES)
    scores.add("right half", outputs.numpy(), mask[test].numpy())
    return float(scores.details()["per_class"][1]["iou"])


# %%
for number, member in enumerate(members):
    train(member, arguments.epochs, 2e-3, number)
    print(f"{member.name:12} IoU {iou(member):.3f}")

# %% [markdown]
# One module of all seven: a call returns the log-probabilities of each pixel. Weights are fitted on
# pixels that no network has seen.

# %%
ensemble = Ensemble(members, name="seven")
print(f"{'mean':12} IoU {iou(ensemble):.3f}")
ensemble.fit([image[:, *held_out]], [mask[held_out]], method="weighted")
print(f"{'weighted':12} IoU {iou(ensemble):.3f}", ensemble.combiner.member_weights())

# %% [markdown]
# It is saved and loaded as a whole, and trained end to end like any other module.

# %%
with tempfile.TemporaryDirectory() as folder:
    ensemble.save(folder)
    again = Ensemble.load(folder)
    assert torch.equal(again(image[None]), ensemble(image[None]))

tuned = Ensemble(members, name="tuned")
train(tuned, max(1, arguments.epochs // 3), 2e-4, 7)
print(f"{'end to end':12} IoU {iou(tuned):.3f}")

# %% [markdown]
# The whole ensemble is one ONNX file, from pixels of any size to probabilities.

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Onnx().export(tuned, image[:, *test][None], Path(folder), Card.of(tuned, "seven"))
    found = open_exported(file)(image[:, :100, :140][None].numpy())
    print(f"{file.name}: {file.stat().st_size / 1e6:.0f} MB, {list(found.shape)}")
