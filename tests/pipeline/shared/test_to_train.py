"""Each image size has its own canvas, and no member depends on the canvas of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from committee.pipeline.shared.to_train import members_to_train, open_for, plans_of
from committee.recipe.load import load_recipe
from committee.store.layout import Store
from committee.training.crossfit.crossfit import CrossFit


def photos(root: Path) -> Path:
    """Write twelve photos in two classes."""
    rng = np.random.default_rng(0)
    for number in range(12):
        file = root / "photos" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(file)
    return root / "photos"


def test_a_member_of_another_size_changes_no_fingerprint_and_only_read_canvases_are_kept(
    tmp_path: Path, store: Store
) -> None:
    root = photos(tmp_path)

    def opened(*sizes: int) -> tuple[dict[str, str], set[int]]:
        models = ", ".join(f"{{name: timm:test_resnet, as: m{size}, img_size: {size}}}" for size in sizes)
        keys = [f"dataset.path={root}", "dataset.num_workers=0", "training.folds=2", f"models=[{models}]"]
        recipe = load_recipe(None, [*keys, "training.pretrained=false"])
        specs = members_to_train(recipe)
        dataset = open_for(recipe, specs, store)
        plans = plans_of(recipe, specs, dataset, store, torch.device("cpu"))
        kept = {int(folder.name.split("-")[1]) for folder in store.root.glob("cache/*")}
        assert kept == {spec.size for spec in dataset.canvases}
        return {plan.name: CrossFit(plan, store).fingerprint("fold_0") for plan in plans}, kept

    both, canvases = opened(8, 24)
    assert canvases == {10, 28}
    smaller, canvases = opened(8)
    assert canvases == {10} and smaller == {"m8": both["m8"]}
    others, canvases = opened(16, 24)
    assert canvases == {19, 28} and others["m24"] == both["m24"]
