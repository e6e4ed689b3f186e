"""Three backbones of the Hugging Face hub: a simple average, learned weights, and a distilled student.

    python examples/huggingface/hf_ensemble.py --out hf --offline

Without `--offline`, the networks start with their weights of ImageNet, which the hub sends. The data are
scikit-learn's digits, or a folder of labeled images (--data). Offline, it trains 12 networks for 5 epochs
each, in about 4 minutes of CPU time. Accuracy on the test images: `soft_voting_ensemble` .989,
`weighted_ensemble` .992, and the student `distilled_mobilenetv3_small_100` .964; no combination has a proven
gain over resnet18 alone. The script writes `hf/recipe.yaml` and runs it; the store is `hf/store`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from committee.cli.main import main as committee

HUB = {
    "resnet18": "hf-hub:timm/resnet18.a1_in1k",
    "mobilenetv3_small_100": "hf-hub:timm/mobilenetv3_small_100.lamb_in1k",
    "efficientnet_b0": "hf-hub:timm/efficientnet_b0.ra_in1k",
}


def recipe_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the recipe: three members, two ways to combine them, and a student of the better one."""
    names = {name: f"timm:{name}" if arguments.offline else HUB[name] for name in arguments.networks}
    data = {"path": arguments.data} if arguments.data else {"name": "digits", "channels": 1}
    training = {
        "folds": arguments.folds,
        "epochs": arguments.epochs,
        "lr": 2e-3,
        "pretrained": not arguments.offline,
        "augment": {"flip": False, "color_jitter": 0, "random_resized_crop": 0.9},
    }
    return {
        "seed": 0,
        "dataset": {**data, "img_size": arguments.img_size, "batch_size": 32},
        "models": [{"name": full, "as": name} for name, full in names.items()],
        "training": training,
        "runs": {"score_ensemble": {"methods": ["soft_voting", "weighted"]}},
        "exports": {"enable": False},
        "distillation": {
            "teacher": "weighted",
            "student": names[arguments.student],
            "epochs": arguments.epochs,
            "lr": 2e-3,
            "seeds": 0,
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Combine and distill backbones of the Hugging Face hub.")
    parser.add_argument("--out", type=Path, default=Path("hf"), help="folder of the recipe and the store")
    parser.add_argument("--offline", action="store_true", help="random start; nothing is downloaded")
    parser.add_argument("--data", help="a folder of labeled images, instead of digits")
    parser.add_argument("--networks", nargs="+", default=list(HUB), help="timm names with --offline")
    parser.add_argument("--student", default="mobilenetv3_small_100", help="one of the networks")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--img-size", type=int, default=32)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    recipe, store = arguments.out / "recipe.yaml", arguments.out / "store"
    recipe.write_text(json.dumps(recipe_of(arguments), indent=1), encoding="utf-8")  # JSON is YAML
    return committee(["run", str(recipe), "--store", str(store)])


if __name__ == "__main__":
    raise SystemExit(main())
